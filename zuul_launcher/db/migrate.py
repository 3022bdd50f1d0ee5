"""Bring the tables to the shape of this release, by the scripts in `alembic/`.

Two processes may start at once: the second waits, and finds nothing left to do. A start is `create` (an empty
database has no lease to hold), `lease.acquire`, then `upgrade` by the one that holds the lease.

The scripts have three branches: `scheduler` for our own tables, `reporter` for Zuul 2's, which may be in any database,
and `worker` for those of a build manager.
"""

import threading
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from zuul_launcher.db.engine import reading, transaction
from zuul_launcher.errors import ConfigurationError

VERSION_TABLE = "zuul_launcher_version"
BRANCH = "scheduler"
REPORTER_VERSION_TABLE = "alembic_version"  # where Zuul 2 looks, too
REPORTER_BRANCH = "reporter"
WORKER_VERSION_TABLE = "zuul_launcher_worker_version"
WORKER_BRANCH = "worker"
WAYS_OUT = {
    BRANCH: "install that release, or restore a backup from before its start",
    REPORTER_BRANCH: "give the reports a database of their own",
    WORKER_BRANCH: "install that release, or give the build manager a new database",
}
LOCK = 0x7A75756C  # any number of our own: key of the PostgreSQL lock that starts wait at
MINUTES = 30  # deadline of one migration statement: a big table takes its time

_one_at_a_time = threading.Lock()  # Alembic keeps the connection that it works on in globals


def create(engine: Engine) -> None:
    """Make the tables in an empty database. ConfigurationError: a newer release was here."""
    with transaction(engine) as connection:
        _wait_for_turn(connection)
        if _revision(connection) is None:
            _run(connection)


def upgrade(engine: Engine) -> None:
    """Make the tables what this release expects. ConfigurationError: a newer release was here."""
    with transaction(engine) as connection:
        _wait_for_turn(connection)
        _revision(connection)
        _run(connection)


def upgrade_reporter(connection: Connection) -> None:
    """Make Zuul 2's tables of reports, if they are not there. ConfigurationError: a later Zuul was here."""
    _wait_for_turn(connection)
    _revision(connection, REPORTER_BRANCH, REPORTER_VERSION_TABLE)
    _run(connection, REPORTER_BRANCH, REPORTER_VERSION_TABLE)


def upgrade_worker(engine: Engine) -> None:
    """Make the tables of a build manager what this release expects. ConfigurationError: a newer release was here."""
    with transaction(engine) as connection:
        _wait_for_turn(connection)
        _revision(connection, WORKER_BRANCH, WORKER_VERSION_TABLE)
        _run(connection, WORKER_BRANCH, WORKER_VERSION_TABLE)


def current(engine: Engine) -> str | None:
    """Revision of the tables; None: there are none. ConfigurationError: a newer release was here."""
    with reading(engine) as connection:
        return _revision(connection)


def scripts() -> Path:
    """The folder of the migrations: inside the installed package, or beside the package of a checkout."""
    package = Path(str(resources.files("zuul_launcher")))
    installed = package / "alembic"
    return installed if installed.is_dir() else package.parent / "alembic"


def configuration() -> Config:
    """What Alembic has to know; connection and version table are still to be given, as `attributes`."""
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    return config


def _run(connection: Connection, branch: str = BRANCH, version_table: str = VERSION_TABLE) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    config.attributes["version_table"] = version_table
    with _one_at_a_time:
        command.upgrade(config, f"{branch}@head")


def _wait_for_turn(connection: Connection) -> None:
    """Only one migrates (SQLite: a write transaction is alone by itself)."""
    if connection.dialect.name == "postgresql":
        milliseconds = MINUTES * 60_000
        connection.execute(text(f"SET LOCAL statement_timeout = {milliseconds}"))
        connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def _revision(connection: Connection, branch: str = BRANCH, version_table: str = VERSION_TABLE) -> str | None:
    found = MigrationContext.configure(connection, opts={"version_table": version_table}).get_current_heads()
    ours = ScriptDirectory.from_config(configuration())
    known = [script.revision for script in ours.iterate_revisions(f"{branch}@head", "base")]  # newest first
    for revision in found:
        if revision not in known:
            raise ConfigurationError(
                f"the database has the tables of a newer release (revision {revision}; this one knows up to"
                f" {known[0]}): {WAYS_OUT[branch]}"
            )
    return found[0] if found else None
