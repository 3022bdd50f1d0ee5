"""Reports as rows in Zuul 2's tables, in a database of the site: SQLite, PostgreSQL or MySQL (behaviour.md §8.3).

1. All rows of a report are written in one transaction. One that is written again, since nobody knows whether the
   first try was stored, is recognised by the uuids of its builds; one without builds by its `zuul_ref`. A start report
   has neither, so a double of it is possible.
2. What is not known (times of a build that never ran, numbers of a ref) is null. What is too long is cut, as the
   tables have v2's sizes.
3. No database can make the scheduler wait: nothing is asked of it before the first report.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy import URL, Connection, Engine, create_engine, insert, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.pool import NullPool

from zuul_launcher.errors import ConfigurationError, RemoteRefused, RemoteUnavailable
from zuul_launcher.report import sqltables

SECONDS = 30  # deadline of a statement
CONNECT_SECONDS = 10
LONGEST_MESSAGE = 60_000  # bytes; MySQL's TEXT holds 65,535
LARGEST_NUMBER = 2**31 - 1  # what the columns hold
EXPECTED = "give sqlite:////PATH, postgresql://USER:PASSWORD@HOST/NAME or mysql://USER:PASSWORD@HOST/NAME"
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
EXTRAS = {"postgresql": "psycopg", "mysql": "pymysql"}


class RecordedBuild(Struct, frozen=True, kw_only=True):
    """A job of a report that had a build."""

    uuid: str
    job: str
    result: str | None  # in the words of the report
    started_at: float | None  # epoch seconds
    ended_at: float | None
    voting: bool
    url: str
    node_name: str | None


class Record(Struct, frozen=True, kw_only=True):
    """A report. `change` and `patchset` are None for a ref."""

    zuul_ref: str | None
    pipeline: str
    project: str
    change: str | None
    patchset: str | None
    ref: str
    score: int
    message: str  # without the lines of the jobs
    builds: tuple[RecordedBuild, ...]


class Recorder:
    """Writes to one database, from one thread."""

    def __init__(self, dburi: str, migrate: Callable[[Connection], None]) -> None:
        """`migrate`: makes the tables in an empty database, within the transaction of the connection.

        ConfigurationError: not a URL that can be used.
        """
        self._url = _url(dburi)
        self._engine = _engine(self._url)
        self._migrate = migrate
        self._is_ready = False

    def prepare(self) -> None:
        """Make the tables, if they are not there. Raises as `write`."""
        if not self._is_ready:
            self._transact(self._migrate)
            self._is_ready = True

    def write(self, record: Record, *, again: bool) -> None:
        """Store a report; `again`: it may be there already.

        RemoteUnavailable: try again later. RemoteRefused: the database does not take it.
        """
        self.prepare()

        def store(connection: Connection) -> None:
            if not (again and _is_stored(connection, record)):
                _insert(connection, record)

        self._transact(store)

    def _transact(self, work: Callable[[Connection], None]) -> None:
        try:
            with self._engine.begin() as connection:
                work(connection)
        except (OperationalError, InterfaceError, InternalError) as error:
            raise RemoteUnavailable(f"database {self._shown()}: {self._cause(error)}") from error
        except DBAPIError as error:
            raise RemoteRefused(f"database {self._shown()}: {self._cause(error)}") from error
        except ConfigurationError as error:
            raise RemoteRefused(f"database {self._shown()}: {error}") from error

    def _shown(self) -> str:
        """Where it is, with nothing secret: some put a password into the query part."""
        return self._url.set(password=None, query={}).render_as_string()

    def _cause(self, error: DBAPIError) -> str:
        cause = " ".join(str(error.orig).split())
        secrets = [self._url.password, *(value for name, value in self._url.query.items() if "passw" in name)]
        for secret in filter(None, map(str, filter(None, secrets))):
            cause = cause.replace(secret, "***")
        return cause


def _is_stored(connection: Connection, record: Record) -> bool:
    buildset, build = sqltables.buildset.c, sqltables.build.c
    uuids = [one.uuid for one in record.builds]
    if uuids:
        found = connection.execute(select(build.id).where(build.uuid.in_(uuids)).limit(1))
    elif record.zuul_ref is not None:
        row = _buildset_row(record)
        same = [buildset[name] == row[name] for name in ("zuul_ref", "pipeline", "score", "message")]
        found = connection.execute(select(buildset.id).where(*same).limit(1))
    else:
        return False
    return found.first() is not None


def _insert(connection: Connection, record: Record) -> None:
    done = connection.execute(insert(sqltables.buildset).values(_buildset_row(record)))
    assert done.inserted_primary_key is not None
    (buildset,) = done.inserted_primary_key
    for one in record.builds:  # one by one: their ids are in the order of the report
        connection.execute(insert(sqltables.build).values(buildset_id=buildset, **_build_row(one)))


def _buildset_row(record: Record) -> dict[str, Any]:
    return {
        "zuul_ref": _cut(sqltables.buildset.c.zuul_ref, record.zuul_ref),
        "pipeline": _cut(sqltables.buildset.c.pipeline, record.pipeline),
        "project": _cut(sqltables.buildset.c.project, record.project),
        "change": _number(record.change),
        "patchset": _number(record.patchset),
        "ref": _cut(sqltables.buildset.c.ref, record.ref),
        "score": max(-LARGEST_NUMBER, min(record.score, LARGEST_NUMBER)),
        "message": _clean(record.message).encode()[:LONGEST_MESSAGE].decode(errors="ignore"),
    }


def _build_row(one: RecordedBuild) -> dict[str, Any]:
    columns = sqltables.build.c
    return {
        "uuid": one.uuid,
        "job_name": _cut(columns.job_name, one.job),
        "result": _cut(columns.result, one.result),
        "start_time": _local(one.started_at),
        "end_time": _local(one.ended_at),
        "voting": one.voting,
        "log_url": _cut(columns.log_url, one.url),
        "node_name": _cut(columns.node_name, one.node_name),
    }


def _clean(text: str) -> str:
    """PostgreSQL stores no NUL."""
    return text.replace("\0", " ")


def _cut(column: sa.Column[Any], text: str | None) -> str | None:
    assert isinstance(column.type, sa.String)
    return None if text is None else _clean(text)[: column.type.length]


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    return int(text) if int(text) <= LARGEST_NUMBER else None


def _local(at: float | None) -> datetime | None:
    """Local time without a zone, to the second, as v2 wrote it."""
    return None if at is None else datetime.fromtimestamp(int(at))


def _url(dburi: str) -> URL:
    try:
        url = make_url(dburi)
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the dburi of a sql connection is not a URL: {EXPECTED}") from None
    kind = url.get_backend_name()
    if kind not in DRIVERS:
        raise ConfigurationError(f"the dburi of a sql connection has the scheme {url.drivername!r}: {EXPECTED}")
    return url.set(drivername=DRIVERS[kind])


def _engine(url: URL) -> Engine:
    kind = url.get_backend_name()
    limits = {name: value for name, value in _limits(kind).items() if name not in url.query}
    try:
        return create_engine(url, connect_args=limits, poolclass=NullPool, hide_parameters=True)
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"a sql connection to {kind} needs {EXTRAS[kind]}: pip install 'zuul-launcher[{kind}]'"
        ) from None


def _limits(kind: str) -> dict[str, Any]:
    """Deadlines; what the URL says wins."""
    if kind == "sqlite":
        return {"timeout": SECONDS}
    if kind == "mysql":
        return {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": SECONDS,
            "write_timeout": SECONDS,
            "charset": "utf8mb4",
        }
    return {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": SECONDS * 1000,
        "keepalives_idle": SECONDS,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "options": f"-c statement_timeout={SECONDS * 1000} -c lock_timeout={SECONDS * 1000}",
    }
