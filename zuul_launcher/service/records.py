"""What a step means for the history tables: the rows of the build sets and builds that it touched. Pure.

A build or item may be gone from the state after the step that ended it, so what was known before is kept at hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zuul_launcher.db.history import AnyRow, BuildRow, BuildsetRow
from zuul_launcher.model.actions import AnyAction, Cancel, Close, Launch, Merge, Report
from zuul_launcher.model.change import Change, Ref, Subject
from zuul_launcher.model.events import AnyEvent, BuildReply, Merged, Reported
from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import Build, BuildSet, Item, State


@dataclass(frozen=True)
class Place:
    """An item at one attempt, as rows need it."""

    item: str
    attempt: int
    pipeline: str
    subject: Subject
    enqueued_at: float
    live: bool


@dataclass(frozen=True)
class Known:
    """Items and unfinished builds of a state, by id."""

    sets: dict[tuple[str, int], tuple[Place, BuildSet]]
    builds: dict[str, tuple[Place, Build]]


def known(state: State) -> Known:
    """Take this before a step, and again after it."""
    sets: dict[tuple[str, int], tuple[Place, BuildSet]] = {}
    builds: dict[str, tuple[Place, Build]] = {}
    for item in state.items.values():
        place = place_of(state, item)
        sets[item.id, item.attempt] = place, item.build_set
        for build in item.build_set.builds.values():
            if build.result is None:
                builds[build.uuid] = place, build
    return Known(sets, builds)


def place_of(state: State, item: Item) -> Place:
    return Place(item.id, item.attempt, item.pipeline, state.subjects[item.subject], item.enqueued_at, item.live)


def rows(before: Known, state: State, layout: Layout, event: AnyEvent, actions: Sequence[AnyAction]) -> list[AnyRow]:
    """The rows to store with this step."""
    after = known(state)
    return [
        *_buildset_rows(before, after, event, actions),
        *_build_rows(before, after, layout, event, actions),
    ]


def _buildset_rows(before: Known, after: Known, event: AnyEvent, actions: Sequence[AnyAction]) -> list[AnyRow]:
    verdicts: dict[tuple[str, int], str | None] = {}
    reported: dict[tuple[str, int], float] = {}
    for action in actions:
        if isinstance(action, Merge):
            verdicts.setdefault((action.item, action.attempt), None)
        elif isinstance(action, Report) and action.verdict != "start":
            verdicts[action.item, action.attempt] = action.verdict
        elif isinstance(action, Close):
            verdicts[action.item, action.attempt] = action.reason
    if isinstance(event, Merged):
        verdicts.setdefault((event.item, event.attempt), None)
    if isinstance(event, Reported) and event.verdict != "start":
        verdicts.setdefault((event.item, event.attempt), event.verdict)
        reported[event.item, event.attempt] = event.at
    made: list[AnyRow] = []
    last = {item: found for (item, _), found in before.sets.items()}  # one that leaves was taken back just before
    for key, verdict in verdicts.items():
        found = after.sets.get(key) or before.sets.get(key) or last.get(key[0])
        if found is not None:
            made.append(_buildset_row(*found, verdict, reported.get(key)))
    return made


def _buildset_row(place: Place, build_set: BuildSet, verdict: str | None, reported_at: float | None) -> BuildsetRow:
    return BuildsetRow(
        item=place.item,
        attempt=place.attempt,
        pipeline=place.pipeline,
        project=place.subject.project,
        **_names(place.subject),
        zuul_ref=build_set.ref,
        commit=build_set.commit,
        zuul_url=build_set.zuul_url,
        verdict=verdict,
        created_at=place.enqueued_at,
        reported_at=reported_at,
    )


def _build_rows(
    before: Known, after: Known, layout: Layout, event: AnyEvent, actions: Sequence[AnyAction]
) -> list[AnyRow]:
    touched: dict[str, None] = {}
    if isinstance(event, BuildReply):
        touched[event.build] = None
    for action in actions:
        if isinstance(action, Launch | Cancel):
            touched[action.build] = None
    made: list[AnyRow] = []
    for uuid in touched:
        found = after.builds.get(uuid) or before.builds.get(uuid)
        if found is not None:
            made.append(_build_row(*found, layout, is_open=uuid in after.builds))
    return made


def _build_row(place: Place, build: Build, layout: Layout, *, is_open: bool) -> BuildRow:
    pipeline = layout.pipelines.get(place.pipeline)
    return BuildRow(
        uuid=build.uuid,
        item=place.item,
        attempt=place.attempt,
        job=build.job,
        run=build.run,
        tries=build.tries,
        voting=build.voting,
        precedence=pipeline.precedence if pipeline else "normal",
        pipeline=place.pipeline,
        project=place.subject.project,
        **_names(place.subject),
        open=is_open,
        handle=build.handle,
        manager=build.manager,
        number=build.number,
        url=build.url,
        node_name=build.node_name,
        node_labels=build.node_labels or None,
        worker=build.worker,
        result=build.result,
        launched_at=build.launched_at,
        started_at=build.started_at,
        ended_at=build.ended_at,
    )


def _names(subject: Subject) -> dict[str, str | None]:
    """How rows of both kinds name what is tested."""
    if isinstance(subject, Change):
        return {
            "branch": subject.branch,
            "change": subject.number,
            "patchset": subject.patchset,
            "ref": subject.ref,
        }
    return {"ref": subject.ref, "newrev": subject.newrev} if isinstance(subject, Ref) else {}
