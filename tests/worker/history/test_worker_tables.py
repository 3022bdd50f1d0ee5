"""The third branch of the migrations."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text
from support.build_records import ran

from zuul_launcher.db import migrate
from zuul_launcher.db.engine import reading, transaction
from zuul_launcher.errors import ConfigurationError
from zuul_launcher.worker.history.history import SqlHistory
from zuul_launcher.worker.history.tables import metadata


def test_an_empty_database_gets_the_tables_that_the_manager_expects(empty: Engine) -> None:
    migrate.upgrade_worker(empty)
    with reading(empty) as connection:
        options = {"version_table": migrate.WORKER_VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_migrating_again_keeps_what_is_there(database: Engine) -> None:
    ran(SqlHistory(database))
    migrate.upgrade_worker(database)
    assert len(SqlHistory(database).recent()) == 1


def test_a_scheduler_and_a_manager_may_share_a_database(database: Engine) -> None:
    migrate.create(database)
    migrate.upgrade(database)
    migrate.upgrade_worker(database)
    assert migrate.current(database) is not None
    assert ran(SqlHistory(database)).number == 1


def test_a_database_that_is_ahead_is_refused(database: Engine) -> None:
    with transaction(database) as connection:
        connection.execute(text(f"UPDATE {migrate.WORKER_VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"revision 9999.*give the build manager a new database"):
        migrate.upgrade_worker(database)
