"""What an item that is done is told: which verdict, and what it means for the pipeline and the queue."""

from zuul_launcher.gate.builds import reset
from zuul_launcher.gate.facts import note_landed
from zuul_launcher.gate.match import MERGED
from zuul_launcher.gate.order import dequeue, grow, shrink
from zuul_launcher.gate.turn import Turn
from zuul_launcher.model.actions import Describe, FetchSiblings, Report, Verdict
from zuul_launcher.model.events import Reported
from zuul_launcher.model.layout import ZuulFilter
from zuul_launcher.model.queue import Item, Queue
from zuul_launcher.model.reading import followers, has_failed_job, queue_holding, subject_of

LANDED = "merged"
DID_NOT_MERGE = "it did not merge"


def report(turn: Turn, item: Item) -> None:
    """Decide the verdict of an item whose jobs all have results, and have it told."""
    verdict = _verdict(turn, item)
    pipeline, here = turn.pipeline(item.pipeline), turn.state.pipelines[item.pipeline]
    submit = verdict == "success" and pipeline.kind == "dependent" and not here.disabled
    item.reporting = verdict
    turn.do(Report(item=item.id, attempt=item.attempt, verdict=verdict, disabled=here.disabled, submit=submit))
    turn.do(Describe(item=item.id, attempt=item.attempt, verdict=verdict))
    if verdict == "success":
        here.failures = 0
    elif verdict != "merge-failure":
        here.failures += 1
    if pipeline.disable_after is not None and here.failures >= pipeline.disable_after:
        here.disabled = True


def _verdict(turn: Turn, item: Item) -> Verdict:
    if item.refused is not None:
        return "failure"
    if item.needs_failed:
        return "dependency-failure"
    if item.build_set.merge == "failed":
        return "merge-failure"
    return "failure" if has_failed_job(turn.layout, turn.state, item) else "success"


def note_reported(turn: Turn, event: Reported) -> None:
    """The reporters have answered: the item leaves."""
    item = turn.state.items.get(event.item)
    if item is None or item.reporting != event.verdict or item.attempt != event.attempt:
        return
    queue = queue_holding(turn.state, item) if item.pipeline in turn.state.pipelines else None
    if queue is None:  # it left its queue before: only this answer was waited for
        if event.merged and item.pipeline in turn.state.pipelines:
            _note_landed_outside(turn, item)
        del turn.state.items[item.id]
        return
    item.reporting = None
    if turn.pipeline(item.pipeline).kind == "dependent":
        reason = _land(turn, queue, item, event)
    else:
        reason = f"reported {event.verdict}"
    dequeue(turn, queue, item, reason)


def _land(turn: Turn, queue: Queue, item: Item, event: Reported) -> str:
    """What the outcome of a gated item means for those that stay. Gives the reason to leave."""
    window = turn.pipeline(item.pipeline).window
    if event.verdict == "success" and event.merged:
        note_landed(turn.state, item.subject)
        _bypass(turn, queue, item)
        grow(queue, window)
        _ask_for_siblings(turn, item)
        return LANDED
    shrink(queue, window)
    if event.verdict != "success":
        return f"reported {event.verdict}"
    for follower in followers(turn.state, queue, item):
        reset(turn, queue, follower)
    return DID_NOT_MERGE


def _ask_for_siblings(turn: Turn, item: Item) -> None:
    """If a pipeline tests the open changes of a project again whenever one has landed."""
    subject = subject_of(turn.state, item)
    for pipeline in turn.layout.pipelines.values():
        for condition in pipeline.triggers:
            if isinstance(condition, ZuulFilter) and MERGED in condition.events:
                turn.do(FetchSiblings(item=item.id, connection=subject.connection, project=subject.project))
                return


def _note_landed_outside(turn: Turn, item: Item) -> None:
    """One layout took it out of its queue, and another may have brought the queue back with others in it."""
    note_landed(turn.state, item.subject)
    name = turn.pipeline(item.pipeline).shared_queues.get(subject_of(turn.state, item).project)
    for queue in turn.state.pipelines[item.pipeline].queues:
        if queue.name == name:
            _bypass(turn, queue, item)


def _bypass(turn: Turn, queue: Queue, landed: Item) -> None:
    """What was not tested on top of a change that landed was tested on ground that is gone."""
    on_top = {landed.id}
    for name in queue.items:
        item = turn.state.items[name]
        if item.ahead in on_top:
            on_top.add(name)
        elif name != landed.id:
            item.build_set.bypassed = item.build_set.ref is not None
