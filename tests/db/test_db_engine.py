from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text
from support.postgresql import Cluster

from zuul_launcher.db import journal, lease, migrate
from zuul_launcher.db.engine import connect, reading, transaction
from zuul_launcher.errors import ConfigurationError, RemoteUnavailable


@pytest.mark.parametrize(
    "dburi",
    ["zuul.sqlite", "", "mysql://user:secret@host/zuul", "postgresql://user:secret@host:port/zuul", "sqlite://"],
)
def test_a_uri_that_cannot_be_used_is_refused_without_showing_its_password(dburi: str) -> None:
    with pytest.raises(ConfigurationError, match="dburi") as caught:
        connect(dburi)
    assert "secret" not in str(caught.value)


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with pytest.raises(RemoteUnavailable) as caught:
        connect("postgresql://zuul:secret@127.0.0.1:1/gate?sslpassword=secret")
    assert "127.0.0.1:1/gate" in str(caught.value)
    assert "refused" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(RemoteUnavailable, match=r"no/zuul\.sqlite: unable to open"):
        connect(f"sqlite:///{tmp_path}/no/zuul.sqlite")


def test_sqlite_survives_a_power_failure_and_lets_readers_read(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path}/zuul.sqlite")
    with reading(engine) as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    engine.dispose()
    assert pragmas == ["wal", 2]  # 2 = FULL


def test_a_new_file_of_sqlite_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path}/zuul.sqlite")
    prepared(engine)
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
    engine.dispose()
    assert modes == dict.fromkeys(("zuul.sqlite", "zuul.sqlite-wal", "zuul.sqlite-shm"), "0o600")


def test_a_file_of_sqlite_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "zuul.sqlite"
    file.touch()
    file.chmod(0o640)
    connect(f"sqlite:///{file}").dispose()
    assert oct(file.stat().st_mode & 0o777) == "0o640"


def test_a_transaction_that_raises_leaves_nothing(database: Engine, token: int) -> None:
    def write_half() -> None:
        with transaction(database) as connection:
            connection.execute(text("DELETE FROM lease"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    with reading(database) as connection:
        assert connection.execute(text("SELECT count(*) FROM lease")).scalar() == 1


def test_readers_go_on_while_somebody_writes(database: Engine, token: int) -> None:
    with transaction(database) as writer:
        writer.execute(text("INSERT INTO layout (hash, at, content) VALUES ('h', 0, '')"))
        assert journal.get_layout(database, "h") is None


def test_a_database_that_stays_locked_is_unavailable(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path}/zuul.sqlite?timeout=0.01")
    held = prepared(engine)
    with transaction(engine), pytest.raises(RemoteUnavailable, match="locked"):
        journal.receive(engine, held, "rpc", b"", 0.0)
    assert journal.receive(engine, held, "rpc", b"", 0.0) == 1
    engine.dispose()


@pytest.mark.postgresql
def test_a_row_that_stays_locked_is_unavailable(postgresql: Cluster) -> None:
    engine = connect(postgresql.new_database() + "&options=-c%20lock_timeout%3D10")
    held = prepared(engine)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE lease SET holder = 'somebody'"))
        with pytest.raises(RemoteUnavailable, match="lock timeout"):
            journal.receive(engine, held, "rpc", b"", 0.0)
    engine.dispose()


def test_a_full_disk_is_unavailable_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path}/zuul.sqlite")
    held = prepared(engine)
    engine.dispose()
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(RemoteUnavailable, match="full"):
        journal.receive(engine, held, "rpc", bytes(1_000_000), 0.0)
    assert journal.all_received(engine) == []
    engine.dispose()


@pytest.mark.postgresql
def test_a_server_that_went_down_is_unavailable_until_it_is_back(postgresql: Cluster) -> None:
    engine = connect(postgresql.new_database())
    held = prepared(engine)
    first = journal.receive(engine, held, "rpc", b"before", 0.0)
    postgresql.stop()
    try:
        with pytest.raises(RemoteUnavailable):
            journal.receive(engine, held, "rpc", b"during", 0.0)
    finally:
        postgresql.start()
    second = journal.receive(engine, held, "rpc", b"after", 0.0)
    assert [(row.id, row.payload) for row in journal.all_received(engine)] == [(first, b"before"), (second, b"after")]
    engine.dispose()


@pytest.mark.postgresql
def test_a_restart_of_the_server_between_two_writes_is_not_even_noticed(postgresql: Cluster) -> None:
    engine = connect(postgresql.new_database())
    held = prepared(engine)
    postgresql.stop()
    postgresql.start()
    journal.receive(engine, held, "rpc", b"", 0.0)
    assert len(journal.all_received(engine)) == 1
    engine.dispose()


@pytest.mark.postgresql
def test_a_server_that_goes_down_in_a_transaction_is_unavailable(postgresql: Cluster) -> None:
    engine = connect(postgresql.new_database())
    prepared(engine)

    def write_over_a_crash() -> None:
        with transaction(engine) as connection:
            connection.execute(text("INSERT INTO layout (hash, at, content) VALUES ('h', 0, '')"))
            postgresql.stop()
            postgresql.start()

    with pytest.raises(RemoteUnavailable):
        write_over_a_crash()
    assert journal.get_layout(engine, "h") is None
    engine.dispose()


def prepared(engine: Engine) -> int:
    """Make the tables; the token of the lease."""
    migrate.create(engine)
    held = lease.acquire(engine, "the test", now=0, duration=1e9)
    assert held is not None
    return held
