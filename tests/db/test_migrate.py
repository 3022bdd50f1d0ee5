import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from zuul_launcher.db import lease, migrate
from zuul_launcher.db.engine import reading, transaction
from zuul_launcher.db.tables import metadata
from zuul_launcher.errors import ConfigurationError

HEAD = ScriptDirectory.from_config(migrate.configuration()).get_revision("scheduler@head").revision


def test_an_empty_database_gets_the_tables_that_the_program_expects(empty: Engine) -> None:
    assert migrate.current(empty) is None
    migrate.create(empty)
    assert migrate.current(empty) == HEAD
    with reading(empty) as connection:
        options = {"version_table": migrate.VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_migrating_again_changes_nothing(database: Engine) -> None:
    held = lease.acquire(database, "a", now=0, duration=10)
    migrate.create(database)
    migrate.upgrade(database)
    assert migrate.current(database) == HEAD
    assert lease.acquire(database, "b", now=5, duration=10) is None
    assert held == 1


def test_a_database_that_is_ahead_is_refused_and_left_alone(database: Engine) -> None:
    with transaction(database) as connection:
        connection.execute(text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'"))
    for use in (migrate.create, migrate.upgrade, migrate.current):
        with pytest.raises(ConfigurationError, match=rf"revision 9999; this one knows up to {HEAD}"):
            use(database)
    with reading(database) as connection:
        assert connection.execute(text(f"SELECT version_num FROM {migrate.VERSION_TABLE}")).scalar() == "9999"


def test_a_migration_that_fails_leaves_nothing(empty: Engine) -> None:
    with transaction(empty) as connection:
        connection.execute(text("CREATE TABLE build (something INTEGER)"))  # in the way of ours, the last one made
    with pytest.raises(Exception, match=r"build.*already exists"):
        migrate.create(empty)
    assert migrate.current(empty) is None
    with transaction(empty) as connection:
        connection.execute(text("DROP TABLE build"))
    migrate.create(empty)
    assert migrate.current(empty) == HEAD


START = """
import sys
from zuul_launcher.db import migrate
from zuul_launcher.db.engine import connect
sys.stdin.read()
migrate.create(connect(sys.argv[1]))
"""


def test_starts_at_the_same_time_do_not_disturb_each_other(dburi: str) -> None:
    command = [sys.executable, "-c", START, dburi]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(4)
    ]
    for child in children:  # all at once
        assert child.stdin is not None
        child.stdin.close()
        child.stdin = None
    ended = [(child.communicate(timeout=120)[1].decode(), child.returncode) for child in children]
    assert ended == [("", 0)] * 4


def test_the_databases_of_a_site_may_be_made_ready_by_threads_of_one_process(tmp_path: Path) -> None:
    engines = [create_engine(f"sqlite:///{tmp_path}/{number}") for number in range(8)]
    together = threading.Barrier(len(engines))

    def make_ready(engine: Engine) -> None:
        together.wait(60)
        with engine.begin() as connection:
            migrate.upgrade_reporter(connection)

    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(make_ready, engines))
    found = [set(inspect(engine).get_table_names()) for engine in engines]
    assert found == [{"alembic_version", "zuul_build", "zuul_buildset"}] * len(engines)
    for engine in engines:
        engine.dispose()
