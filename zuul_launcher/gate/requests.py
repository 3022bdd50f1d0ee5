"""What people ask for: enqueue, dequeue, promote. Every request gets one answer."""

from zuul_launcher.gate.admit import Terms, admit
from zuul_launcher.gate.builds import reset
from zuul_launcher.gate.facts import learn
from zuul_launcher.gate.match import branch_of
from zuul_launcher.gate.order import dequeue
from zuul_launcher.gate.turn import Turn
from zuul_launcher.model.actions import Answer, Ignore
from zuul_launcher.model.change import Change
from zuul_launcher.model.events import DequeueRequested, EnqueueRequested, PromoteRequested
from zuul_launcher.model.layout import GerritFilter
from zuul_launcher.model.queue import Item, Queue
from zuul_launcher.model.reading import subject_of


def enqueue(turn: Turn, event: EnqueueRequested) -> None:
    """Requirements are not checked; whether Gerrit could merge it is."""
    errors = []
    if event.trigger not in _trigger_names(turn):
        errors.append(f"Invalid trigger: {event.trigger}")
    if event.project not in turn.layout.projects:
        errors.append(f"Invalid project: {event.project}")
    if event.pipeline not in turn.layout.pipelines:
        errors.append(f"Invalid pipeline: {event.pipeline}")
    if not errors and event.subject is None:
        errors.append(f"Invalid change: {event.name}")
    if errors or event.subject is None:
        turn.do(Answer(request=event.request, error="\n".join(errors)))
        return
    learn(turn.state, event.facts)
    reason = admit(turn, turn.pipeline(event.pipeline), event.subject, Terms(check_requirements=False))
    if reason:
        turn.do(Ignore(subject=event.subject, pipeline=event.pipeline, reason=reason))
    turn.do(Answer(request=event.request, note=f"not enqueued: {reason}" if reason else None))


def _trigger_names(turn: Turn) -> set[str]:
    return {
        trigger.connection if isinstance(trigger, GerritFilter) else str(type(trigger).__struct_config__.tag)
        for pipeline in turn.layout.pipelines.values()
        for trigger in pipeline.triggers
    }


def dequeue_on_request(turn: Turn, event: DequeueRequested) -> None:
    if event.pipeline not in turn.layout.pipelines:
        turn.do(Answer(request=event.request, error=f"Invalid pipeline: {event.pipeline}"))
        return
    found = [
        (queue, item)
        for queue in turn.state.pipelines[event.pipeline].queues
        for item in map(turn.state.items.__getitem__, queue.items)
        if item.live and _is_called(turn, item, event.project, event.name)
    ]
    if not found:
        turn.do(
            Answer(
                request=event.request,
                error=f"{event.name} of project {event.project} is not in pipeline {event.pipeline}",
            )
        )
        return
    queue, item = found[0]
    if item.reporting is not None:
        turn.do(Answer(request=event.request, error=f"{event.name} is being reported: too late to dequeue it"))
        return
    remove(turn, queue, item, f"dequeued by {event.who or 'request'}")
    turn.do(Answer(request=event.request))


def _is_called(turn: Turn, item: Item, project: str, name: str) -> bool:
    subject = subject_of(turn.state, item)
    names = (subject.id, subject.number) if isinstance(subject, Change) else (subject.id, branch_of(subject))
    return subject.project == project and name in names


def remove(turn: Turn, queue: Queue, item: Item, reason: str) -> None:
    """Out with it, without a report; what was tested on top of it begins again."""
    if item.reporting is None:
        reset(turn, queue, item)
        dequeue(turn, queue, item, reason)


def promote(turn: Turn, event: PromoteRequested) -> None:
    """The named changes go first, in the order given; the others keep theirs. All builds of the queue begin again."""
    if event.pipeline not in turn.layout.pipelines:
        turn.do(Answer(request=event.request, error=f"Invalid pipeline: {event.pipeline}"))
        return
    queue, named, error = _named(turn, event)
    if queue is None or error:
        turn.do(Answer(request=event.request, error=error))
        return
    staying = [turn.state.items[name] for name in queue.items]
    movable = [item for item in staying if item.reporting is None]
    order = [item for item in named if item.reporting is None]
    order += [item for item in movable if item not in order]
    for item in movable:
        reset(turn, queue, item)
        dequeue(turn, queue, item, "promote moves the queue")
    pipeline = turn.pipeline(event.pipeline)
    for item in order:
        terms = Terms(quiet=True, check_requirements=False, live=item.live, enqueued_at=item.enqueued_at)
        if reason := admit(turn, pipeline, item.subject, terms, queue):
            turn.do(Ignore(subject=item.subject, pipeline=pipeline.name, reason=reason))
    turn.do(Answer(request=event.request))


def _named(turn: Turn, event: PromoteRequested) -> tuple[Queue | None, list[Item], str | None]:
    """The queue of the first named change, and the items named; or what is wrong."""
    queue: Queue | None = None
    items: list[Item] = []
    for name in event.changes:
        for candidate in [queue] if queue else turn.state.pipelines[event.pipeline].queues:
            found = [
                item
                for item in map(turn.state.items.__getitem__, candidate.items)
                if item.live and subject_of(turn.state, item).id == name
            ]
            if found:
                queue = candidate
                items += found
                break
        else:
            if queue is None:
                return None, [], f"Unable to find shared change queue for {name}"
            return None, [], f"Unable to find {name} in queue {queue.name}"
    if queue is None:
        return None, [], "No change was named"
    return queue, items, None
