"""The only owner of the state: take an event, step, store everything in one transaction, wake those who act.

What is in memory is never ahead of what is stored for longer than one commit takes: if a commit or a step fails, the
state is decoded again, and the event is tried again or put aside.
"""

import hashlib
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Engine

from zuul_launcher.db import history, journal, outbox
from zuul_launcher.errors import RemoteRefused, RemoteUnavailable
from zuul_launcher.gate.step import step
from zuul_launcher.metrics import Measurement
from zuul_launcher.model.actions import Answer, AnyAction, Ignore
from zuul_launcher.model.events import AnyEvent, ItemRefused, LayoutLoaded, Trigger, Triggered
from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import State
from zuul_launcher.service import payload, records, story
from zuul_launcher.service.inbox import Envelope
from zuul_launcher.service.measure import measure

SNAPSHOT_EVERY = 50  # events
REMEMBERED_SECONDS = 600.0  # of triggers, when a scheduler starts
DATABASE_DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds between tries while the database is away

log = logging.getLogger("zuul_launcher.loop")

_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


@dataclass
class Outward:
    """Who is told about a step after it is stored. Calls must not block."""

    rows: Callable[[Sequence[str]], None]  # targets that have new outbox rows
    answer: Callable[[Answer], None]
    measured: Callable[[Sequence[Measurement]], None] = lambda measurements: None


class Loop:
    """Not a thread: `take` does one event in the caller's thread. When it returns, memory equals what is stored."""

    def __init__(
        self,
        engine: Engine,
        token: int,
        world: payload.World,
        outward: Outward,
        stopping: threading.Event | None = None,
    ) -> None:
        """`stopping`: when it is set, a database that is away is not waited for any more."""
        self._stopping = stopping or threading.Event()
        self.engine = engine
        self.token = token
        self.world = world
        self.outward = outward
        self.state, self.layout = load(engine)
        self._since_snapshot = 0
        self.put_aside = 0  # events since the start
        self._refused: set[str] = set()  # items that an event was put aside of

    def take(self, envelope: Envelope) -> None:
        """Step one event. Waits while the database is away.

        Fenced: another scheduler took over. RemoteUnavailable: told to stop while waiting.
        """
        for delay in _delays():
            if self._try(envelope):
                return
            self._wait(delay)

    def _wait(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise RemoteUnavailable("stopped while the database was away")

    def _try(self, envelope: Envelope) -> bool:
        """False: nothing was stored, and the state is as before."""
        layout = envelope.layout if isinstance(envelope.event, LayoutLoaded) else self.layout
        if layout is None:
            raise RuntimeError("the first event must bring a layout")
        before = records.known(self.state)
        sequence = self.state.sequence + 1
        try:
            actions = step(self.state, layout, envelope.event)
            stored = self._prepare(envelope, before, layout, actions)
        except RemoteUnavailable as error:
            log.warning("%s: waiting for it", error)
            self._decode_again()
            return False
        except Exception as error:  # a mistake of ours: the state may be half changed
            log.exception("step %d failed on %s: it is put aside", sequence, type(envelope.event).__name__)
            self._put_aside(envelope, traceback.format_exc())
            self._go_on_without(envelope, f"{type(error).__name__}: {error}")
            return True
        if not self._commit(stored):
            return False
        self.layout = layout
        self._since_snapshot = 0 if stored.snapshot is not None else self._since_snapshot + 1
        for line in story.lines(before, self.state, actions):
            log.info("%s", line)
        self._tell(stored, actions)
        self.outward.measured(measure(before, self.state, envelope.event))
        return True

    def _prepare(
        self, envelope: Envelope, before: records.Known, layout: Layout, actions: list[AnyAction]
    ) -> journal.Step:
        state, event = self.state, envelope.event
        return journal.Step(
            sequence=state.sequence,
            at=event.at,
            event=msgspec.json.encode(event),
            actions_hash=hash_of(actions),
            layout=state.layout,
            rows=payload.rows(actions, event.at, state, layout, self.world),
            finished=envelope.finished,
            received=envelope.received,
            history=records.rows(before, state, layout, event, actions),
            snapshot=msgspec.json.encode(state) if self._since_snapshot + 1 >= SNAPSHOT_EVERY else None,
        )

    def _commit(self, stored: journal.Step) -> bool:
        """Store it. False: it was not stored, and the state is the one from before again."""
        try:
            journal.commit(self.engine, self.token, stored)
            return True
        except RemoteUnavailable as error:
            log.warning("%s: waiting for it", error)
        self._decode_again()
        return self.state.sequence >= stored.sequence

    def _decode_again(self) -> None:
        """Wait for the database, then load what is true."""
        for delay in _delays():
            try:
                self.state, self.layout = load(self.engine)
                return
            except RemoteUnavailable:
                self._wait(delay)

    def _put_aside(self, envelope: Envelope, trace: str) -> None:
        self._decode_again()
        self.put_aside += 1
        event = envelope.event
        parked = journal.Parked(
            at=event.at,
            source="journal",
            payload=msgspec.json.encode(event),
            traceback=trace,
            item=getattr(event, "item", None),
        )
        self._patiently(lambda: journal.park(self.engine, self.token, parked, received=envelope.received))

    def _go_on_without(self, envelope: Envelope, reason: str) -> None:
        """An item must not wait for ever for an event that was put aside: it is tried once more, then the item leaves.
        An outbox row that waits for the event is closed in any case."""
        event = envelope.event
        item = getattr(event, "item", None)
        if item in self.state.items and not isinstance(event, ItemRefused):
            if item in self._refused:
                self._refused.discard(item)
                leaves = ItemRefused(at=event.at, item=item, reason=reason)
                self.take(Envelope(leaves, finished=envelope.finished))
            else:
                self._refused.add(item)
                self.take(Envelope(event, finished=envelope.finished))
            return
        for row in envelope.finished:
            self._patiently(partial(outbox.finish, self.engine, self.token, row.id, reason))

    def _patiently(self, write: Callable[[], object]) -> None:
        """As often as it takes, while the database is away. What is written twice does no harm."""
        for delay in _delays():
            try:
                write()
                return
            except RemoteUnavailable as error:
                log.warning("%s: waiting for it", error)
                self._wait(delay)

    def _tell(self, stored: journal.Step, actions: Sequence[AnyAction]) -> None:
        for action in actions:
            if isinstance(action, Answer):
                self.outward.answer(action)
            elif isinstance(action, Ignore):
                log.info("%s is not enqueued in %s: %s", action.subject, action.pipeline, action.reason)
        if stored.rows:
            self.outward.rows(sorted({row.target for row in stored.rows}))

    def store_snapshot(self) -> None:
        """Have a later start begin here. Called when idle and at the end; harmless at any time."""
        if self._since_snapshot == 0:
            return
        state = self.state
        journal.put_snapshot(
            self.engine,
            self.token,
            journal.Snapshot(
                sequence=state.sequence, at=time.time(), layout=state.layout, state=msgspec.json.encode(state)
            ),
        )
        self._since_snapshot = 0


def hash_of(actions: Sequence[AnyAction]) -> str:
    """What a replay of the same event must give."""
    return hashlib.sha256(msgspec.json.encode(list(actions))).hexdigest()


def load(engine: Engine) -> tuple[State, Layout | None]:
    """The state as it was after the last stored step, and the layout it goes by (None: a new state).

    RemoteRefused: the journal does not give again what it gave: this release decides differently than the one that
    wrote it, and the event is named.
    """
    stored = journal.load(engine)
    if stored.snapshot is None:
        raise RemoteRefused("the database holds no state: it was not prepared")
    state = msgspec.json.decode(stored.snapshot.state, type=State)
    layout = load_layout(engine, state.layout)
    for line in stored.events:
        event = _events.decode(line.event)
        if line.layout != state.layout or layout is None:
            layout = load_layout(engine, line.layout)
        if layout is None:
            raise RemoteRefused(f"the layout {line.layout} of step {line.sequence} is not stored any more")
        if hash_of(step(state, layout, event)) != line.actions_hash:
            raise RemoteRefused(
                f"step {line.sequence} ({type(event).__name__}) gives other actions than when it was stored: start the"
                " release that wrote it, stop it with TERM so that it stores a snapshot, then start this one"
            )
    return state, layout


def load_layout(engine: Engine, hash: str) -> Layout | None:
    content = journal.get_layout(engine, hash) if hash else None
    return None if content is None else msgspec.json.decode(content, type=Layout)


def _delays() -> Any:
    yield from DATABASE_DELAYS
    while True:
        yield DATABASE_DELAYS[-1]


def parameters_of(engine: Engine) -> Callable[[str], Mapping[str, Any]]:
    """Parameters of builds by uuid, remembered: what was submitted never changes."""
    seen: dict[str, Mapping[str, Any]] = {}

    def look_up(uuid: str) -> Mapping[str, Any]:
        if uuid not in seen:
            found = history.parameters(engine, [uuid])
            if uuid not in found:
                return {}
            if len(seen) > 20000:
                seen.clear()
            seen[uuid] = msgspec.json.decode(found[uuid])
        return seen[uuid]

    return look_up


def recent_triggers(engine: Engine, before: float | None) -> list[Trigger]:
    """What Gerrit told an earlier scheduler, and it worked on, in the minutes before it was last alive."""
    events = journal.recent(engine, before - REMEMBERED_SECONDS) if before is not None else []
    decoded = (_events.decode(event) for event in events)
    return [event.trigger for event in decoded if isinstance(event, Triggered)]


def last_heard(engine: Engine, connections: Sequence[str]) -> dict[str, float]:
    """By connection: when its newest event came that was stepped."""
    missing, heard = set(connections), dict[str, float]()
    for line in journal.newest_first(engine):
        event = _events.decode(line)
        if isinstance(event, Triggered) and event.trigger.connection in missing:
            missing.discard(event.trigger.connection)
            heard[event.trigger.connection] = event.at
        if not missing:
            break
    return heard
