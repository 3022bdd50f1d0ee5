"""Removed is what the settings say, and nothing else; a database that is away is waited for."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from zuul_launcher.db import history, lease
from zuul_launcher.db.engine import connect, transaction
from zuul_launcher.db.history import BuildsetRow
from zuul_launcher.service.pruning import prune
from zuul_launcher.service.storage import Storage
from zuul_launcher.settings import Database

DAY = 86400.0
NOW = 1000 * DAY
AGES = {"new": 1.0, "older": 20.0, "old": 200.0}  # days


@pytest.fixture
def storage(empty_database: bytes, fast_folder: Path) -> Iterator[Storage]:
    path = fast_folder / "zuul.sqlite"
    path.write_bytes(empty_database)
    engine = connect(f"sqlite:///{path}")
    token = lease.acquire(engine, "the test", NOW, 1e9)
    assert token is not None
    rows = [
        BuildsetRow(item=name, attempt=1, pipeline="gate", project="alpha", change=name, created_at=NOW - age * DAY)
        for name, age in AGES.items()
    ]
    with transaction(engine) as connection:
        history.apply(connection, rows)
    yield Storage(engine, token, None, None)
    engine.dispose()


def left(storage: Storage) -> set[str]:
    return {name for name in AGES if history.buildsets(storage.engine, name)}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Database(), {"new", "older", "old"}),
        (Database(keep_days=1), {"new", "older", "old"}),
        (Database(history_days=10), {"new", "older"}),
        (Database(history_days=100), {"new", "older"}),
    ],
)
def test_builds_are_kept_for_ever_unless_the_site_says_how_long(
    storage: Storage, settings: Database, expected: set[str]
) -> None:
    prune(storage, settings, ["older"], NOW)
    assert left(storage) == expected


def test_a_database_that_is_away_is_told_and_left_to_the_next_time(
    storage: Storage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "zuul_launcher.pruning")
    elsewhere = create_engine(f"sqlite:///{tmp_path / 'no such folder' / 'zuul.sqlite'}")
    prune(Storage(elsewhere, storage.token, None, None), Database(), [], NOW)
    elsewhere.dispose()
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["the database could not be pruned"]
