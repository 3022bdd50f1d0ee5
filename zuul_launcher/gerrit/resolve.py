"""Turns what an event says into facts: the change or ref that it is about, with all changes tied to it (`closure`).

Gerrit's answers come from an index that may lag behind its events. An answer that is older than the event is asked for
again, at most five times, with growing pauses; after that it is taken as it is.
"""

import logging
from collections.abc import Callable, Sequence

from zuul_launcher.gerrit import parse
from zuul_launcher.gerrit.closure import Closure
from zuul_launcher.gerrit.query import Query, term
from zuul_launcher.gerrit.record import ParseError, Record, number_of, seconds_of, text_of
from zuul_launcher.model.change import Change, change_key
from zuul_launcher.model.events import Trigger, Triggered

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before asking again

_STATUS_AFTER = {"change-merged": "MERGED", "change-abandoned": "ABANDONED", "change-restored": "NEW"}

log = logging.getLogger(__name__)


class Resolver:
    """Asks one Gerrit, from one thread, in the order of its events."""

    def __init__(
        self,
        query: Query,
        connection: str,
        *,
        base_url: str,
        clock: Callable[[], float],
        wait: Callable[[float], object],
        event_delay: float = 0,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """`clock`: epoch seconds. `wait` pauses for seconds, and returns at once when the program stops."""
        self._query = query
        self._connection = connection
        self._base_url = base_url
        self._clock = clock
        self._wait = wait
        self._event_delay = event_delay
        self._pauses = pauses

    def resolve(self, trigger: Trigger, received_at: float) -> Triggered | None:
        """What the event is about. None: nothing that can be known (no change or ref, or none that Gerrit shows).

        Raises DependencyProblem (the event is to be dropped, and the text logged), RemoteUnavailable, RemoteRefused.
        """
        if trigger.number is None:
            ref = parse.ref(trigger, self._base_url)
            return Triggered(at=received_at, trigger=trigger, subject=ref.key, facts=(ref,)) if ref else None
        remaining = received_at + self._event_delay - self._clock()
        if remaining > 0:
            self._wait(remaining)
        closure = self._fresh(trigger)
        record = closure.record(trigger.number)
        patchset = trigger.patchset or (parse.current_patchset(record) if record else None)
        found = self._found(closure, trigger.number, patchset)
        return Triggered(at=received_at, trigger=trigger, subject=found[0], facts=found[1]) if found else None

    def change(self, number: str, patchset: str) -> tuple[str, tuple[Change, ...]] | None:
        """Key and facts of a change that somebody named. None: Gerrit does not know this patch set.

        Raises like `resolve`.
        """
        return self._found(Closure(self._query, self._connection), number, patchset)

    def open_changes(self, project: str) -> tuple[tuple[str, ...], tuple[Change, ...]]:
        """Keys of the changes of a project that are open, and facts of them and all tied to them.

        Raises like `resolve`.
        """
        closure = Closure(self._query, self._connection)
        ids = []
        for record in self._query.search(term("project", project), "status:open"):
            number, patchset = number_of(record, "number"), parse.current_patchset(record)
            if number and patchset and closure.is_testable(number):
                ids.append((number, patchset))
        keys = tuple(change_key(self._connection, *one) for one in ids)
        return keys, closure.facts(*ids)

    def refresh(self, keys: Sequence[str]) -> tuple[Change, ...]:
        """Changes, and all tied to them, as they are now; without those whose dependencies make no sense.

        Keys of refs and of other connections are passed over. Raises RemoteUnavailable, RemoteRefused.
        """
        closure = Closure(self._query, self._connection)
        ids = []
        for key in keys:
            number, comma, patchset = key.removeprefix(f"{self._connection}:").partition(",")
            if comma and key == change_key(self._connection, number, patchset) and closure.is_testable(number):
                ids.append((number, patchset))
        return closure.facts(*ids)

    def _found(self, closure: Closure, number: str, patchset: str | None) -> tuple[str, tuple[Change, ...]] | None:
        record = closure.record(number)
        if record is None or patchset is None:
            return None
        try:
            parse.change(record, self._connection, patchset)
        except ParseError as error:
            log.warning("%s: %s,%s: %s", self._connection, number, patchset, error)
            return None
        return change_key(self._connection, number, patchset), closure.facts((number, patchset))

    def _fresh(self, trigger: Trigger) -> Closure:
        """A look at Gerrit in which the change of the event is not older than the event, if that can be had."""
        assert trigger.number
        for pause in (*self._pauses, None):
            closure = Closure(self._query, self._connection)
            why = lag(trigger, closure.record(trigger.number))
            if not why:
                return closure
            if pause is None:
                log.warning("%s: %s of %s: %s", self._connection, trigger.type, trigger.number, why)
                return closure
            log.debug("%s: %s of %s: %s, asking again", self._connection, trigger.type, trigger.number, why)
            self._wait(pause)
        raise AssertionError("the last pause returns")


def lag(trigger: Trigger, record: Record | None) -> str:
    """What an answer lacks of the event that it was asked for; "" = it is new enough."""
    if trigger.type == "change-deleted":
        return ""
    if record is None:
        return "Gerrit does not know the change"
    current = parse.current_patchset(record)
    if trigger.patchset and (current is None or int(current) < int(trigger.patchset)):
        return f"patch set {trigger.patchset} is missing"
    if trigger.created_on and seconds_of(record, "lastUpdated") > trigger.created_on:
        return ""
    status = _STATUS_AFTER.get(trigger.type)
    if status and status != text_of(record, "status"):
        return f"its status is not {status}"
    if trigger.type != "comment-added" or current != trigger.patchset or not trigger.account:
        return ""
    try:
        seen = parse.change(record, trigger.connection).approvals
    except ParseError:
        return ""
    held = {(each.label, each.value) for each in seen if each.by.username == trigger.account.username}
    missing = [each.label for each in trigger.approvals if each.value and (each.label, each.value) not in held]
    return f"the vote on {', '.join(missing)} is missing" if missing else ""
