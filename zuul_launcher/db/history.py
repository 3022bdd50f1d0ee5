"""Build sets and builds, kept for people to query, and for estimates. The gate itself never reads them."""

from collections.abc import Collection, Sequence
from functools import cache

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Engine, Insert, Row, Select, Table, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from zuul_launcher.db import lease
from zuul_launcher.db.engine import reading, transaction
from zuul_launcher.db.tables import build, buildset
from zuul_launcher.model.queue import Worker

MEASURED = 10  # builds that an estimate rests on
PRUNED_AT_ONCE = 200  # items a transaction, so that the loop is not kept waiting
ASKED_AT_ONCE = 1000  # values in one IN: databases have a limit


class BuildsetRow(Struct, frozen=True, kw_only=True):
    """One attempt at an item. Stored again: None leaves what is there."""

    item: str
    attempt: int
    pipeline: str
    project: str
    branch: str | None = None
    change: str | None = None
    patchset: str | None = None
    ref: str | None = None  # as Gerrit names it
    newrev: str | None = None
    zuul_ref: str | None = None  # Z + 32 hex digits
    commit: str | None = None
    zuul_url: str | None = None
    verdict: str | None = None
    created_at: float
    reported_at: float | None = None


class BuildRow(Struct, frozen=True, kw_only=True):
    """One run of a job. Stored again: None leaves what is there."""

    uuid: str
    item: str
    attempt: int
    job: str
    run: int
    tries: int
    voting: bool
    precedence: str
    pipeline: str
    project: str
    branch: str | None = None
    change: str | None = None
    patchset: str | None = None
    ref: str | None = None
    newrev: str | None = None
    open: bool  # not known to have ended
    parameters: str | None = None  # JSON as submitted; see `set_parameters`
    handle: str | None = None
    manager: str | None = None
    number: int | str | None = None
    url: str | None = None
    node_name: str | None = None
    node_labels: tuple[str, ...] | None = None
    worker: Worker | None = None
    result: str | None = None
    launched_at: float
    started_at: float | None = None
    ended_at: float | None = None


AnyRow = BuildsetRow | BuildRow


class BuildFilter(Struct, frozen=True, kw_only=True):
    """What builds to show: all that is given must be equal."""

    pipeline: str | None = None
    project: str | None = None
    branch: str | None = None
    change: str | None = None
    patchset: str | None = None
    newrev: str | None = None
    job: str | None = None
    result: str | None = None
    open: bool | None = None


def apply(connection: Connection, rows: Sequence[AnyRow]) -> None:
    """Insert rows, or update what is known of those that exist."""
    _upsert(connection, buildset, [row for row in rows if isinstance(row, BuildsetRow)])
    _upsert(connection, build, [row for row in rows if isinstance(row, BuildRow)])


def set_parameters(engine: Engine, token: int, uuid: str, parameters: str) -> str:
    """Keep the parameters of a build before it is submitted. Those that count: of the first call, if it is repeated."""
    with transaction(engine) as connection:
        lease.check(connection, token)
        this = build.c.uuid == uuid
        connection.execute(update(build).where(this, build.c.parameters.is_(None)).values(parameters=parameters))
        return connection.execute(select(build.c.parameters).where(this)).scalar() or parameters


def parameters(engine: Engine, uuids: Sequence[str]) -> dict[str, str]:
    """uuid -> parameters, of those builds that have them."""
    found: dict[str, str] = {}
    with reading(engine) as connection:
        for start in range(0, len(uuids), ASKED_AT_ONCE):
            some = build.c.uuid.in_(uuids[start : start + ASKED_AT_ONCE])
            query = select(build.c.uuid, build.c.parameters).where(some, build.c.parameters.is_not(None))
            found.update((uuid, text) for uuid, text in connection.execute(query))
    return found


def open_builds(engine: Engine) -> list[BuildRow]:
    """Builds that are not known to have ended, in the order in which they were launched."""
    return _builds(engine, select(build).where(build.c.open).order_by(build.c.launched_at, build.c.uuid))


def builds_of(engine: Engine, item: str, attempt: int) -> list[BuildRow]:
    """All runs of one attempt at an item, in the order in which they were launched."""
    which = (build.c.item == item, build.c.attempt == attempt)
    return _builds(engine, select(build).where(*which).order_by(build.c.run))


def one_build(engine: Engine, uuid: str) -> BuildRow | None:
    return next(iter(_builds(engine, select(build).where(build.c.uuid == uuid))), None)


def builds(engine: Engine, which: BuildFilter, limit: int, page: int = 0) -> list[BuildRow]:
    """Builds, the newest first; `page` counts from 0."""
    given = {name: value for name, value in msgspec.structs.asdict(which).items() if value is not None}
    query = select(build).filter_by(**given).order_by(build.c.launched_at.desc(), build.c.uuid)
    return _builds(engine, query.limit(limit).offset(page * limit))


def buildsets(engine: Engine, change: str, patchset: str | None = None) -> list[BuildsetRow]:
    """The attempts at a change, oldest first."""
    query = select(buildset).where(buildset.c.change == change)
    if patchset is not None:
        query = query.where(buildset.c.patchset == patchset)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(buildset.c.created_at, buildset.c.item, buildset.c.attempt))
        return [BuildsetRow(**row._mapping) for row in rows]


def estimate(engine: Engine, job: str) -> float | None:
    """How many seconds a job takes: the mean of its last ten successes; None before the first."""
    took = build.c.ended_at - build.c.started_at
    last = (
        select(took.label("seconds"))
        .where(build.c.job == job, build.c.result == "SUCCESS", took > 0)
        .order_by(build.c.ended_at.desc())
        .limit(MEASURED)
        .subquery()
    )
    with reading(engine) as connection:
        return connection.execute(select(func.avg(last.c.seconds))).scalar()


def prune(engine: Engine, token: int, before: float, present: Collection[str]) -> int:
    """Delete items that entered before a time (epoch seconds) and are no longer `present` (ids), with all their builds.
    How many build sets went."""
    removed = 0
    while gone := _prune_some(engine, token, before, present):
        removed += gone
    return removed


def _prune_some(engine: Engine, token: int, before: float, present: Collection[str]) -> int:
    with transaction(engine) as connection:
        lease.check(connection, token)
        outdated = buildset.c.created_at < before, buildset.c.item.not_in(list(present))
        oldest = select(buildset.c.item).distinct().where(*outdated).limit(PRUNED_AT_ONCE)
        items = list(connection.execute(oldest).scalars())
        connection.execute(delete(build).where(build.c.item.in_(items)))
        return connection.execute(delete(buildset).where(buildset.c.item.in_(items))).rowcount


def _upsert(connection: Connection, table: Table, rows: Sequence[AnyRow]) -> None:
    if not rows:
        return
    connection.execute(_upsertion(connection.dialect.name, table), [_values(row) for row in rows])


@cache  # building it takes longer than running it
def _upsertion(dialect: str, table: Table) -> Insert:
    new = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    others = [column for column in table.columns if not column.primary_key]
    known = {column.name: func.coalesce(new.excluded[column.name], column) for column in others}
    return new.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=known)


def _values(row: AnyRow) -> dict[str, object]:
    values = msgspec.structs.asdict(row)
    for name in ("number", "node_labels", "worker"):
        if values.get(name) is not None:
            values[name] = msgspec.json.encode(values[name]).decode()
    return values


def _builds(engine: Engine, query: Select[tuple[object, ...]]) -> list[BuildRow]:
    with reading(engine) as connection:
        return [_build(row) for row in connection.execute(query)]


def _build(row: Row[tuple[object, ...]]) -> BuildRow:
    decoded = {
        "number": _decoded(row.number, int | str),
        "node_labels": _decoded(row.node_labels, tuple[str, ...]),
        "worker": _decoded(row.worker, Worker),
    }
    return BuildRow(**{**row._mapping, **decoded})


def _decoded(text: str | None, kind: object) -> object:
    return None if text is None else msgspec.json.decode(text, type=kind)
