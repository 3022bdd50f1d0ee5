"""Open the database, and speak to it in transactions: a write transaction waits for its turn before it reads."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from zuul_launcher.errors import ConfigurationError, RemoteUnavailable

SECONDS = 30  # deadline of a statement, and of waiting for another writer
CONNECT_SECONDS = 10
EXPECTED = "give sqlite:////ABSOLUTE/PATH or postgresql://USER:PASSWORD@HOST/NAME"


def connect(dburi: str) -> Engine:
    """Open the database at an SQLAlchemy URL, and see that it answers.

    ConfigurationError: not a URL that can be used. RemoteUnavailable: it does not answer. Neither shows the password.
    """
    url = _url(dburi)
    engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)
    try:
        with reading(engine) as connection:
            connection.exec_driver_sql("SELECT 1")
    except RemoteUnavailable:
        engine.dispose()
        raise
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Write all of it or nothing. RemoteUnavailable: nothing was written, or (lost at the very end) nobody knows."""
    with _telling(engine), engine.connect() as connection:
        connection.execution_options(writes=True)
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Read one consistent picture; writers are neither kept waiting nor waited for."""
    with _telling(engine), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


@contextmanager
def _telling(engine: Engine) -> Iterator[None]:
    """Turn the library's "could not be done now" into ours. What is left are mistakes of this program."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError) as error:
        raise RemoteUnavailable(f"database {_shown(engine.url)}: {_cause(error.orig, engine.url)}") from error
    except PoolTimeout as error:
        raise RemoteUnavailable(f"database {_shown(engine.url)}: all connections are busy") from error


def _url(dburi: str) -> URL:
    try:
        url = make_url(dburi)
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"[database] dburi is not a URL: {EXPECTED}") from None
    if url.drivername == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ConfigurationError("[database] dburi names no file, and nothing would survive: " + EXPECTED)
        return url
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    raise ConfigurationError(f"[database] dburi has the scheme {url.drivername!r}: {EXPECTED}")


def _make_private(file: str) -> None:
    """What is stored is not for everybody: a new file is its owner's only, whatever the umask, and its -wal and -shm,
    to which SQLite gives the same mode, are, too. A file that is there keeps the mode that somebody gave it."""
    with suppress(OSError):  # SQLite will say it
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _sqlite(url: URL) -> Engine:
    if url.database and not url.database.startswith("file:"):
        _make_private(url.database)
    limits = {} if "timeout" in url.query else {"timeout": SECONDS}
    engine = create_engine(url, connect_args=limits, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver begins no transactions: `begin` does
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    milliseconds = SECONDS * 1000
    limits: dict[str, Any] = {  # what the URL says wins
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": milliseconds,
        "application_name": "zuul-launcher",
        "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
        # a paused process must not keep the lease row locked
        f" -c idle_in_transaction_session_timeout={milliseconds}",
    }
    try:
        return create_engine(
            url,
            connect_args={name: value for name, value in limits.items() if name not in url.query},
            pool_pre_ping=True,
            hide_parameters=True,
        )
    except ModuleNotFoundError:
        raise ConfigurationError("PostgreSQL needs psycopg: pip install 'zuul-launcher[postgresql]'") from None


def _shown(url: URL) -> str:
    """Where it is, with nothing secret: some put a password into the query part."""
    return url.set(password=None, query={}).render_as_string()


def _cause(error: BaseException | None, url: URL) -> str:
    cause = " ".join(str(error).split())
    secrets = [str(url.password or ""), *(str(value) for name, value in url.query.items() if "password" in name)]
    for secret in filter(None, secrets):
        cause = cause.replace(secret, "***")
    return cause
