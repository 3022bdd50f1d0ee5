import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from zuul_launcher.db import history, journal, lease, outbox
from zuul_launcher.db.engine import connect, reading, transaction
from zuul_launcher.db.lease import Fenced


@pytest.fixture
def other(database: Engine, dburi: str) -> Iterator[Engine]:
    """The same database, as another process sees it."""
    engine = connect(dburi)
    yield engine
    engine.dispose()


def test_the_lease_is_held_by_one_until_it_lapses(database: Engine, other: Engine) -> None:
    first = lease.acquire(database, "a", now=100, duration=10)
    assert lease.acquire(other, "b", now=109, duration=10) is None
    second = lease.acquire(other, "b", now=110, duration=10)
    assert first is not None
    assert second == first + 1


def test_who_renews_keeps_the_lease(database: Engine, other: Engine) -> None:
    token = lease.acquire(database, "a", now=100, duration=10)
    assert token is not None
    lease.renew(database, token, now=108, duration=10)
    assert lease.acquire(other, "b", now=115, duration=10) is None


def test_a_lease_that_lapsed_and_was_not_taken_over_is_renewed(database: Engine) -> None:
    token = lease.acquire(database, "a", now=100, duration=10)
    assert token is not None
    lease.renew(database, token, now=500, duration=10)
    assert lease.acquire(database, "b", now=505, duration=10) is None


def test_a_lease_given_back_is_free_at_once(database: Engine, other: Engine) -> None:
    token = lease.acquire(database, "a", now=100, duration=10)
    assert token is not None
    lease.release(database, token, now=101)
    assert lease.acquire(other, "b", now=101, duration=10) == token + 1


def test_who_knows_that_the_holder_is_dead_need_not_wait(database: Engine, other: Engine) -> None:
    token = lease.acquire(database, "a", now=100, duration=10)
    assert token is not None
    assert lease.acquire(other, "b", now=101, duration=10, others_dead=True) == token + 1


def test_one_process_has_the_lock_until_it_closes_it(tmp_path: Path) -> None:
    path = str(tmp_path / "zuul.sqlite.lock")
    first = lease.alone(path)
    assert first is not None
    assert lease.alone(path) is None
    first.close()
    again = lease.alone(path)
    assert again is not None
    again.close()


LOCKER = """
import sys
from zuul_launcher.db import lease
lock = lease.alone(sys.argv[1])
print(lock is not None, flush=True)
sys.stdin.read()
"""


def test_the_lock_goes_with_a_killed_process(tmp_path: Path) -> None:
    path = str(tmp_path / "zuul.sqlite.lock")
    child = subprocess.Popen(
        [sys.executable, "-c", LOCKER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    assert lease.alone(path) is None
    child.kill()
    child.communicate(timeout=60)
    lock = lease.alone(path)
    assert lock is not None
    lock.close()


def test_of_many_that_want_it_one_gets_it(database: Engine, other: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        wanted = [pool.submit(lease.acquire, (database, other)[n % 2], str(n), 100, 10) for n in range(8)]
        tokens = [future.result(timeout=60) for future in wanted]
    assert [token for token in tokens if token is not None] == [1]


def test_a_former_holder_writes_nothing_any_more(database: Engine, other: Engine) -> None:
    old = lease.acquire(database, "a", now=100, duration=10)
    assert old is not None
    received = journal.receive(database, old, "rpc", b"", 0.0)
    step = journal.Step(
        sequence=1,
        at=0.0,
        event=b"{}",
        actions_hash="",
        layout="",
        rows=[outbox.NewRow(kind="Merge", target="merger", key="i", payload=b"{}")],
    )
    (row,) = journal.commit(database, old, step)
    before = everything(database)
    new = lease.acquire(other, "b", now=200, duration=10)
    assert new is not None
    snapshot = journal.Snapshot(sequence=1, at=0.0, layout="", state=b"")
    parked = journal.Parked(at=0.0, source="rpc", payload=b"", traceback="")
    writes = {
        "commit": lambda: journal.commit(database, old, journal.Step(**{**_fields(step), "sequence": 2})),
        "put_snapshot": lambda: journal.put_snapshot(database, old, snapshot),
        "receive": lambda: journal.receive(database, old, "rpc", b"", 0.0),
        "discard": lambda: journal.discard(database, old, [received]),
        "park": lambda: journal.park(database, old, parked),
        "put_layout": lambda: journal.put_layout(database, old, "h", b"", 0.0),
        "prune": lambda: journal.prune(database, old, 0, 1e9),
        "prune the history": lambda: history.prune(database, old, 1e9, ()),
        "trying": lambda: outbox.trying(database, old, row, 0.0),
        "postpone": lambda: outbox.postpone(database, old, row, 0.0, ""),
        "finish": lambda: outbox.finish(database, old, row),
        "set_parameters": lambda: history.set_parameters(database, old, "u", "{}"),
        "renew": lambda: lease.renew(database, old, 300, 10),
        "release": lambda: lease.release(database, old, 300),
    }
    for name, write in writes.items():
        with pytest.raises(Fenced):
            pytest.fail(f"{name} went through: {write()}")
    assert everything(database) == before
    journal.commit(other, new, journal.Step(**{**_fields(step), "sequence": 2}))


@pytest.mark.parametrize("dburi", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True)
def test_a_take_over_waits_for_the_write_that_has_begun(database: Engine, other: Engine, token: int) -> None:
    with ThreadPoolExecutor(1) as pool, transaction(database) as connection:
        lease.check(connection, token)
        taking = pool.submit(lease.acquire, other, "b", 2e9, 10)
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        while not taking.done():
            with reading(database) as watcher:
                if watcher.execute(waiting).scalar():
                    break
        assert not taking.done()
        connection.execute(text("INSERT INTO layout (hash, at, content) VALUES ('h', 0, '')"))
        connection.commit()
        assert taking.result(timeout=60) == token + 1
    with pytest.raises(Fenced), transaction(database) as connection:
        lease.check(connection, token)


def everything(engine: Engine) -> list[list[tuple[object, ...]]]:
    tables = ("received", "parked", "journal", "snapshot", "layout", "outbox", "build")
    with reading(engine) as connection:
        return [[tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))] for name in tables]


def _fields(step: journal.Step) -> dict[str, object]:
    return {name: getattr(step, name) for name in step.__struct_fields__}
