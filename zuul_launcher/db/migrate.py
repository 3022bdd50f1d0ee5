"""Bring the tables to the shape of this release, by the scripts in `alembic/`.

Two processes may start at once: the second waits, and finds nothing left to do. A start is `create` (an empty
database has no lease to hold), `lease.acquire`, then `upgrade` by the one that holds the lease.
"""

from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from zuul_launcher.db.engine import reading, transaction
from zuul_launcher.errors import ConfigurationError

VERSION_TABLE = "zuul_launcher_version"
BRANCH = "scheduler"
LOCK = 0x7A75756C  # any number of our own: key of the PostgreSQL lock that starts wait at
MINUTES = 30  # deadline of one migration statement: a big table takes its time


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
    """What Alembic has to know; `attributes["connection"]` is still to be given."""
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    return config


def _run(connection: Connection) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, f"{BRANCH}@head")


def _wait_for_turn(connection: Connection) -> None:
    """Only one migrates (SQLite: a write transaction is alone by itself)."""
    if connection.dialect.name == "postgresql":
        milliseconds = MINUTES * 60_000
        connection.execute(text(f"SET LOCAL statement_timeout = {milliseconds}"))
        connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def _revision(connection: Connection) -> str | None:
    found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    known = ScriptDirectory.from_config(configuration())
    for revision in found:
        try:
            known.get_revision(revision)
        except CommandError:
            raise ConfigurationError(
                f"the database has the tables of a newer release (revision {revision}; this one knows up to"
                f" {known.get_current_head()}): install that release, or restore a backup from before its start"
            ) from None
    return found[0] if found else None
