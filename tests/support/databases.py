"""Fixtures for what is kept in SQL: each test runs over SQLite and over PostgreSQL, in a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from support.postgresql import Cluster, cluster

from zuul_launcher.db.engine import connect


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def dburi(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.sqlite"
    found: str = request.getfixturevalue("postgresql").new_database()
    return found


@pytest.fixture
def empty(dburi: str) -> Iterator[Engine]:
    engine = connect(dburi)
    yield engine
    engine.dispose()
