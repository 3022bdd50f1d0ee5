"""Each test of the history runs over SQLite and over PostgreSQL, in a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from support.postgresql import Cluster, cluster

from zuul_launcher.db import migrate
from zuul_launcher.db.engine import connect
from zuul_launcher.worker.history.history import SqlHistory


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def dburi(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/worker.sqlite"
    return request.getfixturevalue("postgresql").new_database()


@pytest.fixture
def empty(dburi: str) -> Iterator[Engine]:
    engine = connect(dburi)
    yield engine
    engine.dispose()


@pytest.fixture
def database(empty: Engine) -> Engine:
    """With the tables of this release."""
    migrate.upgrade_worker(empty)
    return empty


@pytest.fixture
def history(database: Engine) -> SqlHistory:
    return SqlHistory(database)
