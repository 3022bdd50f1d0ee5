"""What events start: those of Gerrit (which may also end older tests), of timers, and our own."""

from collections.abc import Callable

from zuul_launcher.gate.admit import Terms, admit
from zuul_launcher.gate.facts import learn
from zuul_launcher.gate.match import MERGED, PARENT_ENQUEUED, accepts, hears
from zuul_launcher.gate.requests import remove
from zuul_launcher.gate.turn import Turn
from zuul_launcher.model.actions import Ignore
from zuul_launcher.model.change import Change, Tick
from zuul_launcher.model.events import SiblingsSeen, TimerFired, Triggered
from zuul_launcher.model.layout import GerritFilter, Pipeline, ZuulFilter
from zuul_launcher.model.reading import subject_of


def note_triggered(turn: Turn, event: Triggered) -> None:
    learn(turn.state, event.facts)
    subject = turn.state.subjects[event.subject]
    if subject.project not in turn.layout.projects:
        return
    for pipeline in turn.layout.pipelines.values():
        if pipeline.source != event.trigger.connection:
            continue
        if isinstance(subject, Change):
            _end_outdated(turn, pipeline, event.trigger.type, subject)
        if _is_triggered(turn, pipeline, event) and (reason := admit(turn, pipeline, event.subject, Terms())):
            turn.do(Ignore(subject=event.subject, pipeline=pipeline.name, reason=reason))


def note_timer(turn: Turn, event: TimerFired) -> None:
    """Every project of the pipeline gets an item, unless its last one is still there."""
    pipeline = turn.layout.pipelines.get(event.pipeline)
    if pipeline is None:
        return  # a new layout came first
    for name, project in turn.layout.projects.items():
        if pipeline.name in project.pipelines:
            tick = Tick(connection=pipeline.source, project=name)
            turn.state.subjects[tick.key] = tick
            admit(turn, pipeline, tick.key, Terms())


def note_siblings(turn: Turn, event: SiblingsSeen) -> None:
    """A change landed: the others of its project may want to be looked at again."""
    learn(turn.state, event.facts)
    for key in event.subjects:
        _tell_zuul_triggers(turn, MERGED, key)


def tell_children(turn: Turn) -> None:
    """Whatever was enqueued: the changes that need it may be waiting for that."""
    while turn.enqueued:
        where, key = turn.enqueued.pop(0)
        subject = turn.state.subjects[key]
        for child in subject.needed_by if isinstance(subject, Change) else ():
            if child in turn.state.subjects:
                _tell_zuul_triggers(turn, PARENT_ENQUEUED, child, where)


def _tell_zuul_triggers(turn: Turn, event: str, key: str, where: str | None = None) -> None:
    subject = turn.state.subjects[key]
    if subject.project not in turn.layout.projects:
        return
    for pipeline in turn.layout.pipelines.values():
        heard = any(
            isinstance(condition, ZuulFilter) and hears(condition, event, subject, turn.at, where)
            for condition in pipeline.triggers
        )
        if heard and pipeline.source == subject.connection and (reason := admit(turn, pipeline, key, Terms())):
            turn.do(Ignore(subject=key, pipeline=pipeline.name, reason=reason))


def _is_triggered(turn: Turn, pipeline: Pipeline, event: Triggered) -> bool:
    subject = turn.state.subjects[event.subject]
    return any(
        isinstance(condition, GerritFilter) and accepts(condition, event.trigger, subject, turn.at)
        for condition in pipeline.triggers
    )


def _end_outdated(turn: Turn, pipeline: Pipeline, type_: str, change: Change) -> None:
    """A new patch set ends the older ones; abandoning ends exactly the one."""
    if type_ == "patchset-created" and pipeline.dequeue_on_new_patchset:
        _remove_live(turn, pipeline, change, lambda other: _is_older(other, change), "a newer patch set was uploaded")
    elif type_ == "change-abandoned":
        _remove_live(turn, pipeline, change, lambda other: other.patchset == change.patchset, "it was abandoned")


def _remove_live(
    turn: Turn, pipeline: Pipeline, change: Change, outdated: Callable[[Change], bool], reason: str
) -> None:
    for queue in list(turn.state.pipelines[pipeline.name].queues):
        for name in list(queue.items):
            item = turn.state.items[name]
            other = subject_of(turn.state, item)
            if item.live and isinstance(other, Change) and _same_change(other, change) and outdated(other):
                remove(turn, queue, item, reason)


def _same_change(one: Change, other: Change) -> bool:
    return one.connection == other.connection and one.number == other.number


def _is_older(one: Change, other: Change) -> bool:
    return int(one.patchset) < int(other.patchset)
