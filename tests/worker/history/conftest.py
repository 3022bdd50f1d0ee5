"""Each test of the history runs over SQLite and over PostgreSQL, in a database of its own."""

import pytest
from sqlalchemy import Engine
from support.databases import dburi as dburi  # fixtures
from support.databases import empty as empty
from support.databases import postgresql as postgresql

from zuul_launcher.db import migrate
from zuul_launcher.worker.history.history import SqlHistory


@pytest.fixture
def database(empty: Engine) -> Engine:
    """With the tables of this release."""
    migrate.upgrade_worker(empty)
    return empty


@pytest.fixture
def history(database: Engine) -> SqlHistory:
    return SqlHistory(database)
