"""What arrived, what was stepped, and the state after it. A step is one transaction: all of it is stored, or nothing.

Opened again after any end, the journal has no gap, and the outbox has the actions of exactly the events in it.
"""

import zlib
from collections.abc import Iterator, Sequence

from msgspec import Struct
from sqlalchemy import Connection, Engine, Row, delete, func, insert, inspect, select, update

from zuul_launcher.db import history, lease, outbox
from zuul_launcher.db.engine import reading, transaction
from zuul_launcher.db.history import AnyRow
from zuul_launcher.db.outbox import Finished, NewRow
from zuul_launcher.db.tables import journal, layout, parked, received, snapshot
from zuul_launcher.db.tables import outbox as outbox_table
from zuul_launcher.errors import ConfigurationError, RemoteRefused
from zuul_launcher.model.queue import FORMAT

DAY = 86400
LAST = select(
    select(func.max(journal.c.sequence)).scalar_subquery(),
    select(func.max(snapshot.c.sequence)).scalar_subquery(),
)
PRUNED_AT_ONCE = 1000  # steps a transaction, so that the loop is not kept waiting


class Received(Struct, frozen=True, kw_only=True):
    """What arrived and was not stepped yet."""

    id: int
    at: float
    source: str  # gerrit:NAME, rpc
    payload: bytes


class Parked(Struct, frozen=True, kw_only=True):
    """What could not be understood, or stepped."""

    id: int = 0
    at: float
    source: str  # "journal" for an event, else as it was received
    payload: bytes
    traceback: str
    item: str | None = None  # that it names


class Step(Struct, frozen=True, kw_only=True):
    """Everything that one step leaves behind."""

    sequence: int  # one more than the last
    at: float
    event: bytes  # JSON
    actions_hash: str
    layout: str  # hash of the layout that the state has after it
    rows: Sequence[NewRow] = ()
    finished: Sequence[Finished] = ()  # outbox rows that the event answers
    received: Sequence[int] = ()  # ids that the event came from
    history: Sequence[AnyRow] = ()
    snapshot: bytes | None = None  # the state after it


class Event(Struct, frozen=True, kw_only=True):
    """One line of the journal."""

    sequence: int
    at: float
    event: bytes
    actions_hash: str
    layout: str


class Snapshot(Struct, frozen=True, kw_only=True):
    sequence: int
    at: float
    layout: str
    state: bytes


class Stored(Struct, frozen=True, kw_only=True):
    """What a start begins with: the last snapshot, and the events after it."""

    snapshot: Snapshot | None
    events: list[Event]


def receive(engine: Engine, token: int, source: str, payload: bytes, at: float) -> int:
    """Keep what arrived until a step or `discard` deletes it. Its id: that of the first try, if this is another one
    with the same time."""
    with transaction(engine) as connection:
        lease.check(connection, token)
        same = (received.c.at == at, received.c.source == source, received.c.payload == payload)
        if (known := connection.execute(select(received.c.id).where(*same)).scalar()) is not None:
            return int(known)
        new = insert(received).values(at=at, source=source, payload=payload).returning(received.c.id)
        return int(connection.execute(new).scalar_one())


def all_received(engine: Engine) -> list[Received]:
    """What arrived and has not been stepped, oldest first."""
    with reading(engine) as connection:
        rows = connection.execute(select(received).order_by(received.c.id))
        return [Received(**row._mapping) for row in rows]


def discard(engine: Engine, token: int, ids: Sequence[int]) -> None:
    """Forget what arrived and leads nowhere."""
    with transaction(engine) as connection:
        lease.check(connection, token)
        _discard(connection, ids)


def park(engine: Engine, token: int, what: Parked, received: Sequence[int] = ()) -> int:
    """Put aside what cannot be used, for people to see, instead of trying it again. Its id."""
    with transaction(engine) as connection:
        lease.check(connection, token)
        _discard(connection, received)
        new = insert(parked).values(
            at=what.at, source=what.source, payload=what.payload, item=what.item, traceback=what.traceback
        )
        return int(connection.execute(new.returning(parked.c.id)).scalar_one())


def all_parked(engine: Engine) -> list[Parked]:
    """What was put aside, oldest first."""
    with reading(engine) as connection:
        rows = connection.execute(select(parked).order_by(parked.c.id))
        return [Parked(**row._mapping) for row in rows]


def commit(engine: Engine, token: int, step: Step) -> list[int]:
    """Store a step in one transaction; the ids of its outbox rows, in order.

    Fenced: another process took over. RemoteRefused: not the next sequence number. RemoteUnavailable: the caller's
    state is ahead of what is stored, as far as it knows: it has to load again.
    """
    with transaction(engine) as connection:
        lease.check(connection, token)
        last = _last(connection)
        if step.sequence != last + 1:
            raise RemoteRefused(f"step {step.sequence} cannot be stored: the last one stored is {last}")
        connection.execute(
            insert(journal),
            {
                "sequence": step.sequence,
                "at": step.at,
                "event": step.event,
                "actions_hash": step.actions_hash,
                "layout": step.layout,
            },
        )
        ids = outbox.add(connection, step.sequence, step.rows)
        outbox.note_finished(connection, step.finished)
        _discard(connection, step.received)
        history.apply(connection, step.history)
        if step.snapshot is not None:
            _replace_snapshot(connection, step.sequence, step.at, step.layout, step.snapshot)
        return ids


def put_snapshot(engine: Engine, token: int, what: Snapshot) -> None:
    """Store the state after the last step (sequence 0: as it was created). RemoteRefused: that was not the last."""
    with transaction(engine) as connection:
        lease.check(connection, token)
        last = _last(connection)
        if what.sequence != last:
            raise RemoteRefused(f"a state after step {what.sequence} cannot be stored: the last one stored is {last}")
        _replace_snapshot(connection, what.sequence, what.at, what.layout, what.state)


def load(engine: Engine) -> Stored:
    """The last snapshot and the events after it.

    ConfigurationError: a newer release wrote it. RemoteRefused: steps are missing, or bytes are damaged.
    """
    with reading(engine) as connection:
        row = connection.execute(select(snapshot)).one_or_none()
        after = row.sequence if row else 0
        found = connection.execute(select(journal).where(journal.c.sequence > after).order_by(journal.c.sequence))
        events = [Event(**line._mapping) for line in found]
    for expected, event in enumerate(events, start=after + 1):
        if event.sequence != expected:
            raise RemoteRefused(f"the journal lacks step {expected}: restore a backup of the database")
    return Stored(snapshot=_snapshot(row) if row else None, events=events)


def recent(engine: Engine, since: float) -> list[bytes]:
    """The events of the last while, as they were stored, oldest first."""
    with reading(engine) as connection:
        found = select(journal.c.event).where(journal.c.at >= since).order_by(journal.c.sequence)
        return list(connection.execute(found).scalars())


def newest_first(engine: Engine) -> Iterator[bytes]:
    """The events as they were stored, the newest first."""
    with reading(engine) as connection:
        found = select(journal.c.event).order_by(journal.c.sequence.desc())
        yield from connection.execution_options(yield_per=200).execute(found).scalars()


def put_layout(engine: Engine, token: int, hash: str, content: bytes, at: float) -> None:
    """Keep a layout under the hash of its content. Kept already: noted that it was loaded again."""
    with transaction(engine) as connection:
        lease.check(connection, token)
        again = update(layout).where(layout.c.hash == hash).values(at=at)
        if connection.execute(again).rowcount == 0:
            connection.execute(insert(layout).values(hash=hash, at=at, content=zlib.compress(content)))


def get_layout(engine: Engine, hash: str) -> bytes | None:
    """The layout of this hash, if it is still kept."""
    with reading(engine) as connection:
        content = connection.execute(select(layout.c.content).where(layout.c.hash == hash)).scalar_one_or_none()
    return None if content is None else zlib.decompress(content)


def has_layout(engine: Engine) -> bool:
    """Is the layout kept that the state goes by? For who only looks: there may be no tables yet."""
    with reading(engine) as connection:
        if not inspect(connection).has_table(snapshot.name):
            return False
        last = select(journal.c.layout).order_by(journal.c.sequence.desc()).limit(1)
        hash = connection.execute(last).scalar() or connection.execute(select(snapshot.c.layout)).scalar()
        return connection.execute(select(layout.c.hash).where(layout.c.hash == hash)).scalar() is not None


def prune(engine: Engine, token: int, keep_days: float, now: float) -> int:
    """Delete steps that are in the snapshot and older than `keep_days`, with their finished outbox rows; layouts that
    nothing names any more; what was parked before. How many steps went."""
    before = now - keep_days * DAY
    removed = 0
    while steps := _prune_steps(engine, token, before):
        removed += steps
    with transaction(engine) as connection:
        lease.check(connection, token)
        connection.execute(delete(parked).where(parked.c.at < before))
        named = select(journal.c.layout).union(select(snapshot.c.layout))
        connection.execute(delete(layout).where(layout.c.at < before, layout.c.hash.not_in(named)))
    return removed


def _prune_steps(engine: Engine, token: int, before: float) -> int:
    with transaction(engine) as connection:
        lease.check(connection, token)
        stored = select(snapshot.c.sequence).scalar_subquery()
        oldest = (
            select(journal.c.sequence, journal.c.at)
            .where(journal.c.sequence <= stored)
            .order_by(journal.c.sequence)
            .limit(PRUNED_AT_ONCE)
            .subquery()
        )
        last = connection.execute(select(func.max(oldest.c.sequence)).where(oldest.c.at < before)).scalar()
        if last is None:
            return 0
        outdated = delete(outbox_table).where(outbox_table.c.sequence <= last, outbox_table.c.status != "todo")
        connection.execute(outdated)
        return connection.execute(delete(journal).where(journal.c.sequence <= last)).rowcount


def _last(connection: Connection) -> int:
    """Sequence number of the last step; 0 before the first. (The journal may be pruned up to the snapshot.)"""
    return max(number or 0 for number in connection.execute(LAST).one())


def _discard(connection: Connection, ids: Sequence[int]) -> None:
    if ids:
        connection.execute(delete(received).where(received.c.id.in_(ids)))


def _replace_snapshot(connection: Connection, sequence: int, at: float, layout: str, state: bytes) -> None:
    values = {
        "sequence": sequence,
        "at": at,
        "format": FORMAT,
        "layout": layout,
        "state": zlib.compress(state, level=1),  # the loop waits for it
    }
    if connection.execute(update(snapshot).values(**values)).rowcount == 0:
        connection.execute(insert(snapshot).values(id=1, **values))


def _snapshot(row: Row[tuple[object, ...]]) -> Snapshot:
    if row.format > FORMAT:
        raise ConfigurationError(
            f"the stored state has format {row.format}, and this release reads up to {FORMAT}:"
            " install the newer release that wrote it"
        )
    try:
        state = zlib.decompress(row.state)
    except zlib.error as error:
        raise RemoteRefused(f"the stored state is damaged ({error}): restore a backup of the database") from error
    return Snapshot(sequence=row.sequence, at=row.at, layout=row.layout, state=state)
