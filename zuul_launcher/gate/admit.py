"""Who comes in: a subject into a pipeline, with what it needs ahead of it and what waits for it behind.

Every function that refuses says why, in words that follow "not enqueued: ".
"""

from collections.abc import Container, Generator
from dataclasses import dataclass, replace

from zuul_launcher.gate.match import can_merge, jobs_for, requirement_missing
from zuul_launcher.gate.order import own_queue, shared_queue
from zuul_launcher.gate.turn import Turn
from zuul_launcher.model.actions import Report
from zuul_launcher.model.change import Change, Subject
from zuul_launcher.model.layout import Pipeline
from zuul_launcher.model.queue import Item, Queue


@dataclass(frozen=True)
class Terms:
    """How somebody comes in."""

    quiet: bool = False  # no start report
    check_requirements: bool = True
    live: bool = True
    enqueued_at: float | None = None  # None: now


Walk = Generator[
    "Walk", str | None, str | None
]  # yields what must be done before it goes on; is sent, and gives, why not


def admit(turn: Turn, pipeline: Pipeline, key: str, terms: Terms, queue: Queue | None = None) -> str | None:
    """Put a subject into a pipeline. None = it is in; else why not.

    queue: where it must go, if that is settled.
    """
    # Hundreds of changes may need each other, which is more than calls may nest.
    open_walks = [_walk(turn, pipeline, key, terms, queue, ())]
    outcome: str | None = None
    while open_walks:
        try:
            open_walks.append(open_walks[-1].send(outcome))
            outcome = None
        except StopIteration as end:
            open_walks.pop()
            outcome = end.value
    return outcome


def _walk(turn: Turn, pipeline: Pipeline, key: str, terms: Terms, queue: Queue | None, path: tuple[str, ...]) -> Walk:
    """path: keys of those that need it, who wait for this one to be in."""
    subject = turn.state.subjects[key]
    if key in path:
        return "it is part of a dependency cycle"
    if terms.live and find_live(turn, pipeline.name, key):
        return None
    if reason := _may_not_enter(turn, pipeline, subject, terms):
        return reason
    if queue is None and pipeline.kind == "dependent":
        queue = shared_queue(turn, pipeline.name, subject)
        if queue is None:
            return f"project {subject.project} has no jobs in pipeline {pipeline.name}"
    elif queue is None:
        queue = own_queue(turn, pipeline.name, subject)
    if reason := (yield _admit_ahead(turn, pipeline, subject, terms, queue, (*path, key))):
        return reason
    if key not in subjects_in(turn, queue):
        _append(turn, pipeline, subject, terms, queue)
        if pipeline.kind == "dependent":
            yield _admit_behind(turn, pipeline, subject, terms, queue)
    return None


def _may_not_enter(turn: Turn, pipeline: Pipeline, subject: Subject, terms: Terms) -> str | None:
    if pipeline.kind == "dependent" and not can_merge(pipeline, subject):
        return "Gerrit would not let it merge yet"
    if terms.check_requirements and (reason := requirement_missing(pipeline, subject, turn.at)):
        return reason
    if terms.live and not jobs_for(turn.layout, pipeline.name, subject):
        return "none of its jobs apply"
    return None


def _admit_ahead(
    turn: Turn, pipeline: Pipeline, subject: Subject, terms: Terms, queue: Queue, path: tuple[str, ...]
) -> Walk:
    missing, reason = needed(turn, pipeline, queue, subject, subjects_in(turn, queue))
    if reason:
        return reason
    if pipeline.kind == "independent":
        terms = replace(terms, quiet=True, check_requirements=False, live=False)
    for key in missing:
        if reason := (yield _walk(turn, pipeline, key, terms, queue, path)):
            return f"it needs {turn.state.subjects[key].id}: {reason}"
    return None


def _admit_behind(turn: Turn, pipeline: Pipeline, subject: Subject, terms: Terms, queue: Queue) -> Walk:
    """So that one event for any member of an approved stack brings in all of it, in one order."""
    for key in subject.needed_by if isinstance(subject, Change) else ():
        other = turn.state.subjects.get(key)
        if other is not None and pipeline.shared_queues.get(other.project) == queue.name and can_merge(pipeline, other):
            yield _walk(turn, pipeline, key, terms, None, ())
    return None


def needed(
    turn: Turn, pipeline: Pipeline, queue: Queue, subject: Subject, present: Container[str]
) -> tuple[list[str], str | None]:
    """Keys that a subject needs ahead of it and that are not present in the queue; or why it cannot have them."""
    missing: list[str] = []
    if not isinstance(subject, Change) or pipeline.ignore_dependencies:
        return missing, None
    for key in subject.needs:
        other = turn.state.subjects.get(key)
        if not isinstance(other, Change):
            return [], f"it needs {key}, which is not known"
        if other.merged:
            continue
        if pipeline.kind == "dependent":
            if pipeline.shared_queues.get(other.project) != queue.name:
                return [], f"it needs {other.id} of {other.project}, which is not in the same change queue"
            if not other.current:
                return [], f"it needs {other.id}, which is not the current patch set"
        if key in present:
            continue
        if pipeline.kind == "dependent" and not can_merge(pipeline, other):
            return [], f"it needs {other.id}, which Gerrit would not let merge yet"
        missing.append(key)
    return missing, None


def subjects_in(turn: Turn, queue: Queue) -> dict[str, Item]:
    """Who stands in a queue, by the key of what is tested: each is there once."""
    items = map(turn.state.items.__getitem__, queue.items)
    return {item.subject: item for item in items}


def find_live(turn: Turn, pipeline: str, key: str) -> Item | None:
    """The live item of this subject in the pipeline, if there is one."""
    for queue in turn.state.pipelines[pipeline].queues:
        for name in queue.items:
            item = turn.state.items[name]
            if item.live and item.subject == key:
                return item
    return None


def _append(turn: Turn, pipeline: Pipeline, subject: Subject, terms: Terms, queue: Queue) -> None:
    item = Item(
        id=turn.item_id(),
        pipeline=pipeline.name,
        subject=subject.key,
        enqueued_at=turn.at if terms.enqueued_at is None else terms.enqueued_at,
        live=terms.live,
        ahead=queue.items[-1] if queue.items else None,
        jobs=jobs_for(turn.layout, pipeline.name, subject) if terms.live else (),
    )
    turn.state.items[item.id] = item
    queue.items.append(item.id)
    turn.enqueued.append((pipeline.name, subject.key))
    if pipeline.start and not terms.quiet and not turn.state.pipelines[pipeline.name].disabled:
        turn.do(Report(item=item.id, attempt=item.attempt, verdict="start"))
