"""Databases for the tests of the service: made once, copied for each, in memory if the machine has a place for that."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from zuul_launcher.db import migrate
from zuul_launcher.db.engine import connect

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def fast_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zl-", dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A SQLite database with all tables, as a file's content."""
    return new_database(tmp_path_factory.mktemp("database"))


def new_database(folder: Path) -> bytes:
    path = folder / "empty.sqlite"
    engine = connect(f"sqlite:///{path}")
    migrate.create(engine)
    engine.dispose()
    return path.read_bytes()
