"""Where outbox rows become calls of the shells: a desk for mergers, one for builds. (`reporting` has the third.)"""

import json
import logging
from collections.abc import Callable, Container
from typing import Any

import msgspec
from sqlalchemy import Engine

from zuul_launcher.db import history
from zuul_launcher.gearman.builds import Builds
from zuul_launcher.gearman.describe import DescribedBuild, describe
from zuul_launcher.gearman.merges import Merges
from zuul_launcher.gearman.openbuild import BuildRequest
from zuul_launcher.gearman.params import function_name
from zuul_launcher.model.events import BuildFinished
from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import State
from zuul_launcher.service.outlet import Delivered, Delivery
from zuul_launcher.service.payload import CancelPayload, DescribePayload, LaunchPayload, MergePayload
from zuul_launcher.service.records import known
from zuul_launcher.service.replies import Replies, Settle, build_key
from zuul_launcher.service.sitecode import SiteCode, SiteCodeFailed

log = logging.getLogger("zuul_launcher.desks")

RESULT_WORDS = {
    "success": "SUCCESS",
    "failure": "FAILURE",
    "merge-failure": "MERGER_FAILURE",
    "dependency-failure": "FAILURE",
}


class MergerDesk:
    """Asks the mergers; `Merged` finishes the row."""

    def __init__(self, merges: Merges, replies: Replies, settle: Settle) -> None:
        self._merges = merges
        self._replies = replies
        self._settle = settle

    def perform(self, delivery: Delivery) -> Delivered:
        payload = delivery.payload
        assert isinstance(payload, MergePayload)
        older = self._replies.expect_merge(payload.item, payload.attempt, delivery.row)
        if older is not None:
            self._settle(older)
        self._merges.merge(payload.item, payload.attempt, payload.function, payload.arguments, payload.precedence)
        return Delivered.ANSWER_FOLLOWS


class GearmanDesk:
    """Launches, cancels and describes builds. A launch is finished by the event that it was queued, or ended."""

    def __init__(
        self,
        engine: Engine,
        token: int,
        builds: Builds,
        replies: Replies,
        settle: Settle,
        layout: Callable[[str], Layout | None],
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._token = token
        self._builds = builds
        self._replies = replies
        self._settle = settle
        self._layout = layout
        self._clock = clock
        self._site_code: tuple[str, SiteCode] | None = None

    def perform(self, delivery: Delivery) -> Delivered:
        match delivery.payload:
            case LaunchPayload():
                return self._launch(delivery, delivery.payload)
            case CancelPayload():
                return self._cancel(delivery, delivery.payload)
            case DescribePayload():
                self._describe(delivery.payload)
                return Delivered.DONE
            case _:
                raise TypeError(f"{type(delivery.payload).__name__} is not for this desk")

    def stop(self) -> None:
        if self._site_code is not None:
            self._site_code[1].stop()

    def _launch(self, delivery: Delivery, payload: LaunchPayload) -> Delivered:
        row = history.one_build(self._engine, payload.build)
        if row is None or not row.open:
            return Delivered.DONE  # cancelled before it went out
        self._replies.expect(build_key(payload.build), delivery.row)
        try:
            parameters = json.loads(row.parameters) if row.parameters else self._parameters(payload)
        except SiteCodeFailed as error:
            log.warning("build %s of %s ended with result EXCEPTION: %s", payload.build, payload.job, error)
            self._replies.post(
                BuildFinished(
                    at=self._clock(),
                    item=payload.item,
                    attempt=payload.attempt,
                    build=payload.build,
                    result="EXCEPTION",
                    reason=str(error),
                )
            )
            return Delivered.ANSWER_FOLLOWS
        self._replies.estimates[payload.build] = history.estimate(self._engine, payload.job)
        self._builds.launch(request_of(row, parameters, resumed=not delivery.first))
        return Delivered.ANSWER_FOLLOWS

    def _parameters(self, payload: LaunchPayload) -> dict[str, Any]:
        """After the parameter function; stored before anything is submitted, so that a re-delivery sends the same."""
        parameters = payload.parameters
        if payload.parameter_function is not None:
            code = self._code(payload.layout)
            parameters = code.call(payload.parameter_function, payload.job, payload.context, parameters)
        text = history.set_parameters(self._engine, self._token, payload.build, json.dumps(parameters))
        stored: dict[str, Any] = json.loads(text)
        return stored

    def _code(self, layout: str) -> SiteCode:
        """The child process with the python files of this layout."""
        if self._site_code is None or self._site_code[0] != layout:
            self.stop()
            found = self._layout(layout)
            self._site_code = layout, SiteCode(found.includes if found else ())
        return self._site_code[1]

    def _cancel(self, delivery: Delivery, payload: CancelPayload) -> Delivered:
        self._replies.estimates.pop(payload.build, None)
        launch = self._replies.take(build_key(payload.build))
        if launch is not None:
            self._settle(launch)
        row = history.one_build(self._engine, payload.build)
        if row is None:
            return Delivered.DONE
        future = self._builds.cancel(request_of(row, {}, resumed=True))
        future.add_done_callback(lambda _: self._settle(delivery.row))
        return Delivered.ANSWER_FOLLOWS

    def _describe(self, payload: DescribePayload) -> None:
        rows = {row.job: row for row in history.builds_of(self._engine, payload.item, payload.attempt)}
        before = {row.job: row for row in history.builds_of(self._engine, payload.item, payload.attempt - 1)}
        result = RESULT_WORDS.get(payload.verdict or "", payload.verdict)
        for job, row in rows.items():
            if row.manager is None or row.number is None:
                continue
            html = describe(
                payload.subject,
                payload.pipeline,
                [_described(other) for other in rows.values()],
                concurrent=payload.concurrent,
                preceded_by=_described(before[job]) if job in before else None,
                result=result,
            )
            self._builds.describe(job, row.number, row.manager, html)


def _described(row: history.BuildRow) -> DescribedBuild:
    return DescribedBuild(job=row.job, number=row.number, url=row.url, result=row.result)


def to_resume(engine: Engine, state: State, launching: Container[str]) -> list[BuildRequest]:
    """What an earlier process left open and the state still waits for. Those whose launch is still in the outbox
    (`launching`) come from there."""
    wanted = known(state).builds
    return [
        request_of(row, json.loads(row.parameters or "{}"), resumed=True)
        for row in history.open_builds(engine)
        if row.uuid in wanted and row.uuid not in launching
    ]


def request_of(row: history.BuildRow, parameters: dict[str, Any], *, resumed: bool) -> BuildRequest:
    """What the launcher is told about a stored build."""
    return BuildRequest(
        item=row.item,
        attempt=row.attempt,
        build=row.uuid,
        job=row.job,
        function=function_name(row.job, parameters),
        parameters=parameters,
        precedence=msgspec.convert(row.precedence, type=Any),
        handle=row.handle,
        manager=row.manager,
        number=row.number,
        resumed=resumed,
    )
