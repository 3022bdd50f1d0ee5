"""What people ask for over Gearman, made into events: enqueue, enqueue_ref, dequeue, promote.

Nothing of it is stored before it is stepped: whoever asks is told when the scheduler goes, and asks again. The running
jobs are answered on the spot.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from zuul_launcher.errors import RemoteError
from zuul_launcher.model.actions import Answer
from zuul_launcher.model.change import ZERO_REVISION, Ref
from zuul_launcher.model.events import DequeueRequested, EnqueueRequested, PromoteRequested, Request
from zuul_launcher.model.layout import Layout
from zuul_launcher.service.inbox import Envelope, Inbox
from zuul_launcher.service.intake import Intake

WHO = "an administrator"
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

R = TypeVar("R", bound=Request)

log = logging.getLogger("zuul_launcher.requests")


class Enqueue(Struct, frozen=True):
    pipeline: str
    project: str
    trigger: str
    change: str


class EnqueueRef(Struct, frozen=True):
    pipeline: str
    project: str
    trigger: str
    ref: str
    oldrev: str = ZERO_REVISION
    newrev: str = ZERO_REVISION


class Dequeue(Struct, frozen=True):
    pipeline: str
    project: str
    change: str | None = None
    ref: str | None = None


class Promote(Struct, frozen=True):
    pipeline: str
    change_ids: tuple[str, ...]


class Requests:
    """`receive` is called on the listener's thread and must not block; `answer` replies to one request."""

    def __init__(
        self,
        inbox: Inbox,
        intakes: Mapping[str, Intake],
        layout: Callable[[], Layout],
        running_jobs: Callable[[], bytes],
        answer: Callable[[str, str | None, bytes], None],
        clock: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._intakes = intakes
        self._layout = layout
        self._running_jobs = running_jobs
        self._answer = answer
        self._clock = clock

    def receive(self, request: str, function: str, arguments: bytes) -> None:
        try:
            self._take(request, function, arguments)
        except msgspec.MsgspecError as error:
            self._answer(request, f"{function}: the arguments are wrong: {error}", b"")

    def answered(self, answer: Answer) -> None:
        """The gate has decided."""
        self._answer(answer.request, answer.error, (answer.note or "").encode())

    def _take(self, request: str, function: str, arguments: bytes) -> None:
        log.info("%s asks %s %s", WHO, function, arguments[:500].decode(errors="replace"))
        match function:
            case "zuul:enqueue":
                self._enqueue(request, msgspec.json.decode(arguments, type=Enqueue))
            case "zuul:enqueue_ref":
                self._enqueue_ref(request, msgspec.json.decode(arguments, type=EnqueueRef))
            case "zuul:dequeue":
                self._dequeue(request, msgspec.json.decode(arguments, type=Dequeue))
            case "zuul:promote":
                wanted = msgspec.json.decode(arguments, type=Promote)
                self._put(PromoteRequested, request, pipeline=wanted.pipeline, changes=wanted.change_ids)
            case "zuul:get_running_jobs":
                self._answer(request, None, self._running_jobs())
            case _:
                self._answer(request, f"{function} is not known here", b"")

    def _put(self, kind: type[Any], request: str, **facts: object) -> None:
        self._inbox.put(Envelope(self._made(kind, request, **facts)))

    def _made(self, kind: type[R], request: str, **facts: Any) -> R:
        return kind(at=self._clock(), request=request, who=WHO, **facts)

    def _put_screened(self, intake: Intake, event: EnqueueRequested) -> None:
        """On the thread of the intake."""
        try:
            screened = intake.screening.screen(event)
        except RemoteError as error:
            self._answer(event.request, str(error), b"")
            return
        if screened is None:
            self._answer(event.request, f"{event.name}: {intake.screening.complaints[-1]}", b"")
        else:
            self._inbox.put(Envelope(screened))

    def _dequeue(self, request: str, wanted: Dequeue) -> None:
        name = wanted.change or wanted.ref
        if name is None:
            self._answer(request, "Name a change or a ref to dequeue", b"")
            return
        self._put(DequeueRequested, request, pipeline=wanted.pipeline, project=wanted.project, name=name)

    def _enqueue(self, request: str, wanted: Enqueue) -> None:
        number, comma, patchset = wanted.change.partition(",")
        if not (comma and number.isdecimal() and patchset.isdecimal()):
            self._answer(request, f"Invalid change: {wanted.change} (write NUMBER,PATCHSET)", b"")
            return
        common = {"pipeline": wanted.pipeline, "project": wanted.project, "trigger": wanted.trigger}
        # A pipeline that is not there may come with a layout that is on its way: the trigger names its Gerrit, too.
        intake = self._intake_of(wanted.pipeline) or self._intakes.get(wanted.trigger)
        if intake is None:
            self._put(EnqueueRequested, request, name=wanted.change, **common)
            return

        def look_up() -> None:
            try:
                found = intake.resolver.change(number, patchset)
            except RemoteError as error:
                self._answer(request, str(error), b"")
                return
            facts: dict[str, object] = {} if found is None else {"subject": found[0], "facts": found[1]}
            self._put_screened(intake, self._made(EnqueueRequested, request, name=wanted.change, **common, **facts))

        intake.ask(look_up)

    def _enqueue_ref(self, request: str, wanted: EnqueueRef) -> None:
        if not (_REVISION.fullmatch(wanted.oldrev) and _REVISION.fullmatch(wanted.newrev)):
            self._answer(request, "The old and new revisions must be commit ids of 40 hex digits.", b"")
            return
        if wanted.oldrev == wanted.newrev:
            self._answer(request, "The old and new revisions must not be the same.", b"")
            return
        pipeline = self._layout().pipelines.get(wanted.pipeline)
        ref = Ref(
            connection=pipeline.source if pipeline else "",
            project=wanted.project,
            ref=wanted.ref,
            oldrev=wanted.oldrev,
            newrev=wanted.newrev,
        )
        event = self._made(
            EnqueueRequested,
            request,
            pipeline=wanted.pipeline,
            project=wanted.project,
            trigger=wanted.trigger,
            name=wanted.ref,
            subject=ref.key,
            facts=(ref,),
        )
        intake = self._intake_of(wanted.pipeline)
        if intake is None:
            self._inbox.put(Envelope(event))
        else:
            intake.ask(lambda: self._put_screened(intake, event))

    def _intake_of(self, pipeline: str) -> Intake | None:
        """The Gerrit that knows the pipeline's changes; None if there is no such pipeline (the gate says so)."""
        known = self._layout().pipelines.get(pipeline)
        return self._intakes.get(known.source) if known else None
