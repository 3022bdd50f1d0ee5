"""One scheduler writes: a second process on the same SQLite file is refused, on PostgreSQL it stands by."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.postgresql import Cluster, cluster

from zuul_launcher.db import journal
from zuul_launcher.db.lease import Fenced
from zuul_launcher.errors import ConfigurationError
from zuul_launcher.service.storage import Storage, open_storage

SECONDS = 60


@pytest.fixture
def postgresql() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


def opened(dburi: str, lease_seconds: float = 15.0) -> Storage:
    found = open_storage(dburi, time.time, threading.Event(), lease_seconds)
    assert found is not None
    return found


def test_a_second_process_on_one_sqlite_file_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    dburi = f"sqlite:///{tmp_path}/zuul.sqlite"
    first = opened(dburi)
    with pytest.raises(ConfigurationError, match="another scheduler uses"):
        open_storage(dburi, time.time, threading.Event())
    first.close(time.time())
    second = opened(dburi)
    assert second.token > first.token
    assert second.previous is not None
    second.close(time.time())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="make the folder"):
        open_storage(f"sqlite:///{tmp_path}/missing/zuul.sqlite", time.time, threading.Event())


@pytest.mark.postgresql
def test_a_standby_takes_over_when_the_lease_lapses_and_the_first_one_is_fenced(postgresql: Cluster) -> None:
    dburi = postgresql.new_database()
    first = opened(dburi, lease_seconds=2.0)  # it never renews, as a paused process
    second = opened(dburi, lease_seconds=2.0)
    assert second.token > first.token
    with pytest.raises(Fenced):
        journal.receive(first.engine, first.token, "rpc", b"{}", 1.0)
    journal.receive(second.engine, second.token, "rpc", b"{}", 1.0)
    first.engine.dispose()
    second.close(time.time())


@pytest.mark.postgresql
def test_a_standby_stops_when_it_is_told_to(postgresql: Cluster) -> None:
    dburi = postgresql.new_database()
    first = opened(dburi, lease_seconds=1000.0)
    stopping = threading.Event()
    ends: list[Storage | None] = []
    standby = threading.Thread(target=lambda: ends.append(open_storage(dburi, time.time, stopping, 1000.0)))
    standby.start()
    stopping.set()
    standby.join(SECONDS)
    assert ends == [None]
    first.close(time.time())
