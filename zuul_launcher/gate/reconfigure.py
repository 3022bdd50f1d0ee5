"""Carry the items into a new layout. Builds of jobs that remain go on; what lost its place ends.

Windows, failure counters and disabled pipelines begin anew; enqueue times, results, mutexes and parent links are kept.
"""

from zuul_launcher.gate.builds import cancel_build, reset
from zuul_launcher.gate.match import jobs_for
from zuul_launcher.gate.order import dequeue, shared_queue
from zuul_launcher.gate.turn import Turn
from zuul_launcher.model.layout import Pipeline
from zuul_launcher.model.queue import Item, PipelineState, Queue
from zuul_launcher.model.reading import followers, subject_of


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
        _drop(turn, old, item, _no_place(item, pipeline))
        return
    if item.ahead is not None and item.ahead not in queue.items:
        reset(turn, old, item)  # it was tested with changes of what is another queue now
        item.ahead = None
    queue.items.append(item.id)
    if item.reporting is None:
        _fit_jobs(turn, item)


def _new_queue(turn: Turn, old: Queue, item: Item, pipeline: Pipeline) -> Queue | None:
    """Gated: all changes of a project stand in one queue, or they would land untested with each other. Else: where
    what it is tested on top of went."""
    queues = turn.state.pipelines[pipeline.name].queues
    if pipeline.kind == "dependent":
        return shared_queue(turn, pipeline.name, subject_of(turn.state, item)) if item.live else None
    for queue in queues:
        if item.ahead is not None and item.ahead in queue.items:
            return queue
    queues.append(Queue(name=old.name))
    return queues[-1]


def _no_place(item: Item, pipeline: Pipeline | None) -> str:
    if pipeline is None:
        return "its pipeline was removed"
    return "its project is not gated there any more" if item.live else "the pipeline has become a gate"


def _drop(turn: Turn, old: Queue, item: Item, reason: str) -> None:
    for one in (item, *followers(turn.state, old, item)):  # they were tested with it, even if it may still land
        reset(turn, old, one)
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
