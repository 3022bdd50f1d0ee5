"""Change queues: finding, joining and leaving them, moving inside, and their windows."""

from zuul_launcher.gate.turn import Turn
from zuul_launcher.model.actions import Close
from zuul_launcher.model.change import Subject
from zuul_launcher.model.layout import Window
from zuul_launcher.model.queue import Item, Queue
from zuul_launcher.model.reading import followers


def shared_queue(turn: Turn, pipeline: str, subject: Subject) -> Queue | None:
    """The dependent queue that this project's changes go to; None if the project is not gated there."""
    layout = turn.pipeline(pipeline)
    name = layout.shared_queues.get(subject.project)
    if name is None:
        return None
    queues = turn.state.pipelines[pipeline].queues
    for queue in queues:
        if queue.name == name:
            return queue
    queues.append(Queue(name=name, window=layout.window.start))
    return queues[-1]


def own_queue(turn: Turn, pipeline: str, subject: Subject) -> Queue:
    """A new queue of an independent pipeline."""
    queue = Queue(name=subject.project)
    turn.state.pipelines[pipeline].queues.append(queue)
    return queue


def sweep(turn: Turn) -> None:
    """Forget queues that hold nothing: neither items, nor a window that differs from what the layout says."""
    for name, pipeline in turn.state.pipelines.items():
        start = turn.pipeline(name).window.start if turn.pipeline(name).kind == "dependent" else 0
        pipeline.queues = [queue for queue in pipeline.queues if queue.items or queue.window != start]


def dequeue(turn: Turn, queue: Queue, item: Item, reason: str) -> None:
    """Take an item out; those behind it stand behind what it stood behind. Its builds are the caller's affair."""
    for follower in followers(turn.state, queue, item):
        follower.ahead = item.ahead
    queue.items.remove(item.id)
    turn.do(Close(item=item.id, attempt=item.attempt, reason=reason))
    if item.reporting is None:
        del turn.state.items[item.id]


def move(turn: Turn, queue: Queue, item: Item, ahead: str | None) -> None:
    """Test the item on top of another one; its followers stay with what it stood behind before."""
    for follower in followers(turn.state, queue, item):
        follower.ahead = item.ahead
    item.ahead = ahead


def grow(queue: Queue, window: Window) -> None:
    """A change of this queue landed."""
    if queue.window == 0:
        return
    if window.increase_type == "linear":
        queue.window += window.increase_factor
    else:
        queue.window *= window.increase_factor


def shrink(queue: Queue, window: Window) -> None:
    """A change of this queue failed."""
    if queue.window == 0:
        return
    if window.decrease_type == "linear":
        smaller = queue.window - window.decrease_factor
    else:
        smaller = queue.window // window.decrease_factor
    queue.window = max(window.floor, smaller)
