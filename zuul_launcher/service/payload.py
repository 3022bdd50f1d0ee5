"""What an action needs in the world, worked out from the state in the step's transaction. Pure.

From then on an outbox row stands for itself: a delivery after a restart does the very same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from zuul_launcher.db.outbox import NewRow
from zuul_launcher.gearman.params import merge_request, parameters
from zuul_launcher.model.actions import AnyAction, Cancel, Describe, FetchSiblings, Launch, Merge, Report, Verdict
from zuul_launcher.model.change import Change, Subject, Tick
from zuul_launcher.model.layout import Layout, Pipeline, Precedence, Reporter
from zuul_launcher.model.queue import Item, State
from zuul_launcher.model.reading import subject_of
from zuul_launcher.report.record import record
from zuul_launcher.report.smtp import Mail, message_id
from zuul_launcher.report.sql import Record
from zuul_launcher.report.text import ParametersOf, mail_subject, report
from zuul_launcher.settings import Zuul

MERGER = "merger"
GEARMAN = "gearman"


class MergePayload(Struct, frozen=True, kw_only=True):
    item: str
    attempt: int
    function: str
    arguments: dict[str, Any]
    precedence: Precedence


class LaunchPayload(Struct, frozen=True, kw_only=True):
    item: str
    attempt: int
    build: str
    job: str
    parameters: dict[str, Any]  # before the parameter function
    parameter_function: str | None
    context: dict[str, Any]  # what the parameter function may look at
    precedence: Precedence
    layout: str  # hash: its includes hold the parameter function


class CancelPayload(Struct, frozen=True, kw_only=True):
    item: str
    attempt: int
    build: str


class DescribePayload(Struct, frozen=True, kw_only=True):
    item: str
    attempt: int
    verdict: str | None
    subject: Subject
    pipeline: str
    concurrent: tuple[Change, ...]


class ReportPayload(Struct, frozen=True, kw_only=True):
    """To Gerrit. Its answer lets the item go on, so there is one for every report, also without reporters."""

    item: str
    attempt: int
    verdict: Verdict
    subject: Subject
    message: str
    reporters: tuple[Reporter, ...]
    submit: bool


class MailPayload(Struct, frozen=True, kw_only=True):
    item: str
    connection: str
    mail: Mail  # sender or recipients may be missing: then those of the connection


class RecordPayload(Struct, frozen=True, kw_only=True):
    item: str
    connection: str
    at: float
    record: Record


class FetchPayload(Struct, frozen=True, kw_only=True):
    """To the Gerrit that has the project: which of its changes are open?"""

    item: str
    connection: str
    project: str


Payload = (
    FetchPayload
    | MergePayload
    | LaunchPayload
    | CancelPayload
    | DescribePayload
    | ReportPayload
    | MailPayload
    | RecordPayload
)
PAYLOADS: dict[str, type[Payload]] = {
    "Fetch": FetchPayload,
    "Merge": MergePayload,
    "Launch": LaunchPayload,
    "Cancel": CancelPayload,
    "Describe": DescribePayload,
    "Report": ReportPayload,
    "Mail": MailPayload,
    "Record": RecordPayload,
}


class World(Struct, frozen=True, kw_only=True):
    """What payloads depend on besides state and layout."""

    zuul: Zuul
    urls: Mapping[str, Callable[[str], str]]  # connection -> git URL of a project
    parameters: ParametersOf  # of builds that were launched
    drivers: Mapping[str, str] = {}  # connection -> driver; Gerrit's for those that are not named


def gerrit_target(connection: str) -> str:
    """The outlet that reports for a pipeline of this source."""
    return f"gerrit:{connection}"


def query_target(connection: str) -> str:
    """The outlet that asks this Gerrit."""
    return f"query:{connection}"


def mail_target(connection: str) -> str:
    return f"mail:{connection}"


def sql_target(connection: str) -> str:
    return f"sql:{connection}"


def rows(actions: Sequence[AnyAction], at: float, state: State, layout: Layout, world: World) -> list[NewRow]:
    """The outbox rows of a step's actions (`Answer`, `Close` and `Ignore` are dealt with on the spot).

    `at`: when the step was taken.
    """
    made = []
    for action in actions:
        for target, payload in _payloads(action, at, state, layout, world):
            kind = type(payload).__name__.removesuffix("Payload")
            made.append(NewRow(kind=kind, target=target, key=payload.item, payload=msgspec.json.encode(payload)))
    return made


def _payloads(
    action: AnyAction, at: float, state: State, layout: Layout, world: World
) -> Iterator[tuple[str, Payload]]:
    match action:
        case FetchSiblings():
            yield (
                query_target(action.connection),
                FetchPayload(item=action.item, connection=action.connection, project=action.project),
            )
        case Merge() if _is_current(action, state):
            yield MERGER, _merge(action, state, layout, world)
        case Launch() if _is_current(action, state):
            yield GEARMAN, _launch(action, state, layout)
        case Cancel():
            yield GEARMAN, CancelPayload(item=action.item, attempt=action.attempt, build=action.build)
        case Describe() if action.item in state.items:
            yield GEARMAN, _describe(action, state)
        case Report() if action.item in state.items:
            yield from _reports(action, at, state, layout, world)


def _is_current(action: Merge | Launch, state: State) -> bool:
    """False if the same step took it back."""
    item = state.items.get(action.item)
    return item is not None and item.attempt == action.attempt


def _merge(action: Merge, state: State, layout: Layout, world: World) -> MergePayload:
    item = state.items[action.item]
    function, arguments = merge_request(state, layout, item, world.urls)
    precedence = layout.pipelines[item.pipeline].precedence
    return MergePayload(
        item=item.id, attempt=item.attempt, function=function, arguments=arguments, precedence=precedence
    )


def _launch(action: Launch, state: State, layout: Layout) -> LaunchPayload:
    item = state.items[action.item]
    job = layout.jobs[action.job]
    return LaunchPayload(
        item=item.id,
        attempt=item.attempt,
        build=action.build,
        job=job.name,
        parameters=parameters(state, item, item.build_set.builds[job.name]),
        parameter_function=job.parameter_function,
        context=_context(state, item, job.tags, job.voting) if job.parameter_function else {},
        precedence=layout.pipelines[item.pipeline].precedence,
        layout=state.layout,
    )


def _context(state: State, item: Item, tags: tuple[str, ...], voting: bool) -> dict[str, Any]:
    """What a parameter function is shown (behaviour of v2: which attributes a change has tells the kinds apart)."""
    subject = subject_of(state, item)
    if isinstance(subject, Change):
        facts: dict[str, Any] = {
            "number": subject.number,
            "patchset": subject.patchset,
            "branch": subject.branch,
            "refspec": subject.ref,
            "files": list(subject.files),
            "url": subject.url,
            "owner": msgspec.to_builtins(subject.owner) if subject.owner else None,
        }
    elif isinstance(subject, Tick):
        facts = {}
    else:
        facts = {"ref": subject.ref, "oldrev": subject.oldrev, "newrev": subject.newrev}
    return {
        "change": facts,
        "project": subject.project,
        "pipeline": item.pipeline,
        "live": item.live,
        "build_set": {"ref": item.build_set.ref, "commit": item.build_set.commit, "zuul_url": item.build_set.zuul_url},
        "tags": list(tags),
        "voting": voting,
    }


def _describe(action: Describe, state: State) -> DescribePayload:
    item = state.items[action.item]
    ahead = [state.items[name] for name in item.build_set.ahead if name in state.items]
    subjects = [subject_of(state, other) for other in ahead]
    return DescribePayload(
        item=item.id,
        attempt=action.attempt,
        verdict=action.verdict,
        subject=subject_of(state, item),
        pipeline=item.pipeline,
        concurrent=tuple(subject for subject in subjects if isinstance(subject, Change)),
    )


def _reports(
    action: Report, at: float, state: State, layout: Layout, world: World
) -> Iterator[tuple[str, ReportPayload | MailPayload | RecordPayload]]:
    """One for Gerrit, and one for each other reporter: what is away there must not keep changes from landing."""
    item = state.items[action.item]
    pipeline = layout.pipelines[item.pipeline]
    message = report(layout, state, item, action.verdict, settings=world.zuul, parameters=world.parameters)
    to_gerrit: list[Reporter] = []
    for reporter in _reporters(pipeline, action):
        match world.drivers.get(reporter.connection, "gerrit"):
            case "smtp":
                yield mail_target(reporter.connection), _mail(reporter, action, at, state, message)
            case "sql":
                yield sql_target(reporter.connection), _record(reporter, action, at, state, layout, world)
            case _:
                to_gerrit.append(reporter)
    yield (
        gerrit_target(pipeline.source),
        ReportPayload(
            item=item.id,
            attempt=action.attempt,
            verdict=action.verdict,
            subject=subject_of(state, item),
            message=message,
            reporters=tuple(to_gerrit),
            submit=action.submit,
        ),
    )


def _mail(reporter: Reporter, action: Report, at: float, state: State, message: str) -> MailPayload:
    texts = {key: str(value) for key, value in reporter.options.items() if value is not None}
    mail = Mail(
        id=message_id(action.item, str(action.attempt), action.verdict, reporter.connection),
        sender=texts.get("from", ""),
        recipients=texts.get("to", ""),
        subject=mail_subject(texts.get("subject"), subject_of(state, state.items[action.item])),
        text=message,
        at=at,
    )
    return MailPayload(item=action.item, connection=reporter.connection, mail=mail)


def _record(reporter: Reporter, action: Report, at: float, state: State, layout: Layout, world: World) -> RecordPayload:
    made = record(
        layout,
        state,
        state.items[action.item],
        action.verdict,
        int(reporter.options.get("score") or 0),
        settings=world.zuul,
        parameters=world.parameters,
    )
    return RecordPayload(item=action.item, connection=reporter.connection, at=at, record=made)


def _reporters(pipeline: Pipeline, action: Report) -> tuple[Reporter, ...]:
    if action.disabled:
        return pipeline.disabled
    match action.verdict:
        case "start":
            return pipeline.start
        case "success":
            return pipeline.success
        case "merge-failure":
            return pipeline.merge_failure
        case "failure" | "dependency-failure":
            return pipeline.failure
