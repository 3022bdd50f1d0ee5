"""Databases of a site, each empty: of every kind that reports may go to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import mysql, postgresql


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Cluster]:
    with postgresql.cluster() as server:
        yield server


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[mysql.Server]:
    with mysql.running() as server:
        yield server


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mysql", marks=pytest.mark.mysql),
    ]
)
def dburi(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/reports.sqlite"
    found: str = request.getfixturevalue(f"{request.param}_server").new_database()
    return found
