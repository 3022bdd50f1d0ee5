"""Carry the items into a new layout. Builds of jobs that remain go on; what lost its place ends.

Windows, failure counters and disabled pipelines begin anew; enqueue times, results, mutexes and parent links are kept.
"""

from zuul_launcher.gate.builds import cancel_build, reset
from zuul_launcher.gate.match import jobs_for
from zuul_launcher.gate.order import dequeue
from zuul_launcher.gate.turn import Turn
from zuul_launcher.model.layout import Pipeline
from zuul_launcher.model.queue import Item, PipelineState, Queue
from zuul_launcher.model.reading import chain, subject_of


def reconfigure(turn: Turn, layout: str) -> None:
    """Take over the layout of this hash (turn.layout already is that one)."""
    state = turn.state
    state.layout = layout
    state.layout_errors = ()
    state.last_reconfigured = turn.at
    old = state.pipelines
    state.pipelines = {name: PipelineState() for name in turn.layout.pipelines}
    for name, pipeline in old.items():
        for queue in pipeline.queues:
            for item in [state.items[item_id] for item_id in queue.items]:
                _carry(turn, queue, item, turn.layout.pipelines.get(name))


def _carry(turn: Turn, old: Queue, item: Item, pipeline: Pipeline | None) -> None:
    queue = _new_queue(turn, old, item, pipeline) if pipeline else None
    if queue is None:
        where = "its project is not gated there any more" if pipeline else "its pipeline was removed"
        _drop(turn, old, item, where)
        return
    queue.items.append(item.id)
    if item.reporting is None:
        _fit_jobs(turn, item)


def _new_queue(turn: Turn, old: Queue, item: Item, pipeline: Pipeline) -> Queue | None:
    """Where the head of its chain goes, there it goes too."""
    head = subject_of(turn.state, (chain(turn.state, item) or [item])[0])
    queues = turn.state.pipelines[pipeline.name].queues
    if pipeline.kind == "dependent":
        name = pipeline.shared_queues.get(head.project)
        if name is None:
            return None
        return _find(queues, name) or _add(queues, Queue(name=name, window=pipeline.window.start))
    for queue in queues:
        if item.ahead is not None and item.ahead in queue.items:
            return queue
    return _add(queues, Queue(name=old.name))


def _find(queues: list[Queue], name: str) -> Queue | None:
    return next((queue for queue in queues if queue.name == name), None)


def _add(queues: list[Queue], queue: Queue) -> Queue:
    queues.append(queue)
    return queue


def _drop(turn: Turn, old: Queue, item: Item, reason: str) -> None:
    reset(turn, old, item)  # also those behind: they were tested with it
    dequeue(turn, old, item, reason)


def _fit_jobs(turn: Turn, item: Item) -> None:
    """Jobs that are gone are cancelled; jobs that are new are launched when the queue settles."""
    if item.live:
        item.jobs = jobs_for(turn.layout, item.pipeline, subject_of(turn.state, item))
    for job, build in list(item.build_set.builds.items()):
        if job in item.jobs:
            build.voting = turn.layout.jobs[job].voting
        else:
            cancel_build(turn, item, build)
            del item.build_set.builds[job]
