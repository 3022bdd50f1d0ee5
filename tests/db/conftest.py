"""Each test of storage runs over SQLite and over PostgreSQL, in a database of its own."""

import pytest
from sqlalchemy import Engine
from support.databases import dburi as dburi  # fixtures
from support.databases import empty as empty
from support.databases import postgresql as postgresql

from zuul_launcher.db import lease, migrate


@pytest.fixture
def database(empty: Engine) -> Engine:
    """With the tables of this release."""
    migrate.create(empty)
    return empty


@pytest.fixture
def token(database: Engine) -> int:
    """The lease of that database, held for long."""
    held = lease.acquire(database, "the test", now=0, duration=1e9)
    assert held is not None
    return held
