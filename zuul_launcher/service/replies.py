"""Outbox rows that an event will finish: expected by whoever delivers, finished with the step of the event."""

from collections.abc import Callable

from msgspec.structs import replace

from zuul_launcher.db.outbox import Finished
from zuul_launcher.model.events import AnyEvent, BuildFinished, BuildLost, BuildProgress, BuildQueued, Merged
from zuul_launcher.service.inbox import Envelope, Inbox

Key = tuple[str, ...]


def merge_key(item: str, attempt: int) -> Key:
    return "merge", item, str(attempt)


def build_key(uuid: str) -> Key:
    return "build", uuid


class Replies:
    """Each entry is put by one thread and taken by one: no two wait for the same."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._rows: dict[Key, int] = {}
        self.estimates: dict[str, float | None] = {}  # build -> seconds, until it starts

    def expect(self, key: Key, row: int) -> None:
        self._rows[key] = row

    def take(self, key: Key) -> int | None:
        """The row that waits under this key; it does so no longer."""
        return self._rows.pop(key, None)

    def post(self, event: AnyEvent) -> None:
        """From any thread: what the world says, on its way to the loop."""
        key = _key_of(event)
        row = self.take(key) if key else None
        if isinstance(event, BuildProgress) and event.build in self.estimates:
            event = replace(event, estimate=self.estimates.pop(event.build))
        self._inbox.put(Envelope(event, finished=() if row is None else (Finished(id=row),)))


def _key_of(event: AnyEvent) -> Key | None:
    match event:
        case Merged():
            return merge_key(event.item, event.attempt)
        case BuildQueued() | BuildFinished() | BuildLost():
            return build_key(event.build)
        case _:
            return None


Settle = Callable[[int], None]
"""Say, from any thread, that an outbox row needs nothing more."""
