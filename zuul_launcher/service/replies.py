"""Outbox rows that an event will finish: expected by whoever delivers, finished with the step of the event."""

from collections.abc import Callable

from msgspec.structs import replace

from zuul_launcher.db.outbox import Finished
from zuul_launcher.model.events import AnyEvent, BuildFinished, BuildLost, BuildProgress, BuildQueued, Merged
from zuul_launcher.service.inbox import Envelope, Inbox

Key = tuple[str, ...]


def build_key(uuid: str) -> Key:
    return "build", uuid


class Replies:
    """Each entry is put by one thread and taken by one: no two wait for the same."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._rows: dict[Key, int] = {}
        self._merges: dict[str, tuple[int, int]] = {}  # item -> its newest attempt, and the row
        self.estimates: dict[str, float | None] = {}  # build -> seconds, until it starts

    def expect(self, key: Key, row: int) -> None:
        self._rows[key] = row

    def take(self, key: Key) -> int | None:
        """The row that waits under this key; it does so no longer."""
        return self._rows.pop(key, None)

    def expect_merge(self, item: str, attempt: int, row: int) -> int | None:
        """The row of an older attempt, which nobody will answer any more."""
        older = self._merges.get(item)
        self._merges[item] = attempt, row
        return None if older is None or older[0] == attempt else older[1]

    def post(self, event: AnyEvent) -> None:
        """From any thread: what the world says, on its way to the loop."""
        row = self._row_of(event)
        if isinstance(event, BuildProgress | BuildFinished | BuildLost) and event.build in self.estimates:
            estimate = self.estimates.pop(event.build)
            event = replace(event, estimate=estimate) if isinstance(event, BuildProgress) else event
        self._inbox.put(Envelope(event, finished=() if row is None else (Finished(id=row),)))

    def _row_of(self, event: AnyEvent) -> int | None:
        match event:
            case Merged():
                attempt, row = self._merges.get(event.item, (0, 0))
                if attempt != event.attempt:
                    return None
                del self._merges[event.item]
                return row
            case BuildQueued() | BuildFinished() | BuildLost():
                return self.take(build_key(event.build))
            case _:
                return None


Settle = Callable[[int], None]
"""Say, from any thread, that an outbox row needs nothing more."""
