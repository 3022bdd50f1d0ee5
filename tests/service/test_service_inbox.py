"""Requests go first, then results, then triggers; each in the order in which they came."""

from zuul_launcher.model.events import AnyEvent, FactsSeen, LayoutRefused, Merged, PromoteRequested, Reported
from zuul_launcher.service.inbox import Envelope, Inbox


def merged(item: str) -> Merged:
    return Merged(at=1, item=item, attempt=1, commit=None, ok=True)


def test_the_order() -> None:
    events: list[AnyEvent] = [
        FactsSeen(at=1, facts=()),
        merged("a"),
        Reported(at=1, item="a", attempt=1, verdict="start"),
        PromoteRequested(at=1, request="1", pipeline="gate", changes=()),
        merged("b"),
        LayoutRefused(at=1, errors=()),
        FactsSeen(at=2, facts=()),
    ]
    inbox = Inbox()
    for event in events:
        inbox.put(Envelope(event))
    assert inbox.lengths() == (2, 3)
    taken = []
    while envelope := inbox.take(0):
        taken.append(envelope.event)
    assert taken == [events[3], events[5], events[1], events[2], events[4], events[0], events[6]]
    assert inbox.lengths() == (0, 0)


def test_waking_gives_nothing_and_loses_nothing() -> None:
    inbox = Inbox()
    inbox.put(Envelope(merged("a")))
    inbox.wake()
    assert inbox.take(60) is None
    assert inbox.take(60) == Envelope(merged("a"))
