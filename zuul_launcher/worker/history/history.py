"""What a build manager remembers: builds and their numbers, and why nodes are offline. One manager has one database.

Each call is stored when it returns; those that write at the same time share a transaction.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from zuul_launcher.db.engine import reading
from zuul_launcher.worker.history.tables import builds, numbers, offline
from zuul_launcher.worker.history.together import Together
from zuul_launcher.worker.parts import BuildRecord, UnknownBuild

MEASURED = 6  # successful builds that an estimate rests on
GREATEST = 2**31 - 1
DESCRIPTION_BYTES = 64 * 1024

# What every build needs is made once: it costs more to put a statement together than to run it.
BEGUN = builds.insert()
ENDED = (
    update(builds)
    .where(builds.c.job == bindparam("of_job"), builds.c.number == bindparam("of_number"))
    .values({name: bindparam(name) for name in ("finished_at", "result", "final", "tests")})
)
LASTED = (
    select(builds.c.finished_at - builds.c.started_at)
    .where(builds.c.job == bindparam("of_job"), builds.c.result == "SUCCESS")
    .order_by(builds.c.number.desc())
    .limit(MEASURED)
)
COUNTED = {
    name: insert(numbers)
    .on_conflict_do_update(index_elements=[numbers.c.job], set_={"last": numbers.c.last + 1})
    .returning(numbers.c.last)
    for name, insert in (("postgresql", postgresql.insert), ("sqlite", sqlite.insert))
}


class SqlHistory:
    """`parts.History` in SQL, in the tables that `db.migrate.upgrade_worker` makes. From any thread.

    Every call raises RemoteUnavailable if the database does not answer. `parameters` and `tests` are JSON.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._together = Together(engine)

    def begin(self, record: BuildRecord) -> BuildRecord:
        """Store a build that starts, under the next number of its job; the record with it and with its estimate."""

        def write(connection: Connection) -> BuildRecord:
            number = _next_number(connection, record.job)
            estimated = _estimate(connection, record.job)
            connection.execute(BEGUN, _values(record, number, estimated))
            return msgspec.structs.replace(record, number=number, estimated=estimated)

        return self._together.write(write)

    def finish(self, record: BuildRecord) -> None:
        """Store its end: finished_at, result, final, tests. A description stays the one that was stored."""
        values = {
            "of_job": record.job,
            "of_number": record.number,
            "finished_at": record.finished_at,
            "result": record.result,
            "final": record.final,
            "tests": _encoded(record.tests),
        }
        self._together.write(lambda connection: connection.execute(ENDED, values))

    def describe(self, job: str, number: int, html: str) -> None:
        """Set the description; what is over 64 KiB is cut off. Raises UnknownBuild."""
        kept = html.encode(errors="replace")[:DESCRIPTION_BYTES].decode(errors="ignore")
        described = update(builds).where(_is(job, number)).values(description=kept)
        if not self._together.write(lambda connection: connection.execute(described).rowcount):
            raise UnknownBuild(f"there is no build {number} of {job}")

    def find(self, job: str, number: int) -> BuildRecord | None:
        """The build; None: there is none, or it was forgotten."""
        return self._first(select(builds).where(_is(job, number)))

    def find_unique(self, unique: str, since: float) -> BuildRecord | None:
        """The newest build with this id that ended after `since`; one that was cut off has nothing to tell again."""
        ended = (builds.c.unique_id == unique) & (builds.c.finished_at > since) & (func.length(builds.c.final) > 0)
        return self._first(select(builds).where(ended).order_by(builds.c.finished_at.desc(), builds.c.number.desc()))

    def recent(self, job: str | None = None, limit: int = 100, before: float | None = None) -> Sequence[BuildRecord]:
        """Newest first. `before`: only what started before that (Unix time)."""
        query = select(builds).order_by(builds.c.started_at.desc(), builds.c.number.desc()).limit(limit)
        if job is not None:
            query = query.where(builds.c.job == job)
        if before is not None:
            query = query.where(builds.c.started_at < before)
        with reading(self._engine) as connection:
            return [_record(row) for row in connection.execute(query)]

    def interrupted(self, now: float) -> Sequence[BuildRecord]:
        """At the start: builds that were running when the manager was killed end now, with no result. Those builds."""
        running = builds.c.finished_at.is_(None)

        def write(connection: Connection) -> Sequence[BuildRecord]:
            found = [_record(row) for row in connection.execute(select(builds).where(running))]
            connection.execute(update(builds).where(running).values(finished_at=now, result=None))
            return found

        return self._together.write(write)

    def offline(self) -> Mapping[str, str]:
        """Node -> why it takes no builds."""
        with reading(self._engine) as connection:
            return {row.node: row.reason for row in connection.execute(select(offline).order_by(offline.c.node))}

    def set_offline(self, name: str, reason: str | None) -> None:
        """None: it takes builds again."""

        def write(connection: Connection) -> None:
            connection.execute(delete(offline).where(offline.c.node == name))
            if reason is not None:
                connection.execute(offline.insert().values(node=name, reason=reason))

        self._together.write(write)

    def ends(self) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Job -> (number, finished_at) of each build that ended, the highest number first."""
        query = select(builds.c.job, builds.c.number, builds.c.finished_at).where(builds.c.finished_at.is_not(None))
        found: dict[str, list[tuple[int, float]]] = {}
        with reading(self._engine) as connection:
            for job, number, finished_at in connection.execute(query.order_by(builds.c.job, builds.c.number.desc())):
                found.setdefault(job, []).append((number, finished_at))
        return found

    def forget(self, job: str, number: int) -> None:
        """Remove a build that has ended. Its number is never used again."""
        ended = delete(builds).where(_is(job, number), builds.c.finished_at.is_not(None))
        self._together.write(lambda connection: connection.execute(ended))

    def _first(self, query: Select[Any]) -> BuildRecord | None:
        with reading(self._engine) as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else _record(row)


def _is(job: str, number: int) -> ColumnElement[bool]:
    """A number from outside may be greater than any that the column takes; there is no build 0."""
    return (builds.c.job == job) & (builds.c.number == (number if 0 < number <= GREATEST else 0))


def _next_number(connection: Connection, job: str) -> int:
    statement = COUNTED["postgresql" if connection.dialect.name == "postgresql" else "sqlite"]
    number: int = connection.execute(statement, {"job": job, "last": 1}).scalar_one()
    return number


def _estimate(connection: Connection, job: str) -> int | None:
    """Mean of the last successful builds, in milliseconds."""
    seconds = list(connection.execute(LASTED, {"of_job": job}).scalars())
    return round(1000 * sum(seconds) / len(seconds)) if seconds else None


def _values(record: BuildRecord, number: int, estimated: int | None) -> dict[str, Any]:
    return {
        "job": record.job,
        "number": number,
        "unique_id": record.unique,
        "node": record.node,
        "worker": record.worker,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "result": record.result,
        "description": record.description,
        "parameters": _encoded(record.parameters),
        "final": record.final,
        "tests": _encoded(record.tests),
        "estimated": estimated,
    }


def _record(row: Row[Any]) -> BuildRecord:
    return BuildRecord(
        job=row.job,
        number=row.number,
        unique=row.unique_id,
        node=row.node,
        worker=row.worker,
        started_at=row.started_at,
        finished_at=row.finished_at,
        result=row.result,
        description=row.description,
        parameters=json.loads(row.parameters),
        final=row.final,
        tests=None if row.tests is None else json.loads(row.tests),
        estimated=row.estimated,
    )


def _encoded(value: Mapping[str, Any] | None) -> bytes | None:
    """As JSON in ASCII: whatever stood in the payload, lone surrogates included, comes back as it was."""
    return None if value is None else json.dumps(value).encode("ascii")
