"""An item whose events can not be stepped leaves with ERROR, so that the others go on."""

from zuul_launcher.gate.builds import reset
from zuul_launcher.gate.order import dequeue
from zuul_launcher.gate.turn import Turn
from zuul_launcher.gate.verdict import report
from zuul_launcher.model.events import ItemRefused
from zuul_launcher.model.reading import queue_holding


def refuse(turn: Turn, event: ItemRefused) -> None:
    """Take everything back that was begun for it, and say so; nothing is said to whom the outcome was told already."""
    item = turn.state.items.get(event.item)
    if item is None:
        return
    queue = queue_holding(turn.state, item) if item.pipeline in turn.state.pipelines else None
    if queue is None:  # it left its queue before: only an answer was waited for
        del turn.state.items[item.id]
        return
    was_told = item.reporting is not None
    item.reporting = None
    reset(turn, queue, item)
    item.refused = event.reason
    if item.live and not was_told:
        report(turn, item)
    dequeue(turn, queue, item, f"ERROR: {event.reason}")
