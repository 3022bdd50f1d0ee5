import zlib

import pytest
from sqlalchemy import Engine, text

from zuul_launcher.db import history, journal, outbox
from zuul_launcher.db.engine import reading, transaction
from zuul_launcher.db.journal import DAY, Parked, Snapshot, Step
from zuul_launcher.errors import ConfigurationError, RemoteRefused
from zuul_launcher.model.queue import FORMAT


def step(sequence: int, **more: object) -> Step:
    fields = {"at": float(sequence), "event": b"event %d" % sequence, "actions_hash": f"hash {sequence}", "layout": "l"}
    return Step(sequence=sequence, **(fields | more))


def row(key: str) -> outbox.NewRow:
    return outbox.NewRow(kind="Launch", target="gearman", key=key, payload=b'{"key": "%s"}' % key.encode())


def test_a_new_database_has_no_state(database: Engine) -> None:
    assert journal.load(database) == journal.Stored(snapshot=None, events=[])


def test_steps_come_back_in_order_with_the_hash_of_their_actions(database: Engine, token: int) -> None:
    for sequence in (1, 2, 3):
        journal.commit(database, token, step(sequence))
    stored = journal.load(database)
    assert [(event.sequence, event.event, event.actions_hash, event.layout, event.at) for event in stored.events] == [
        (1, b"event 1", "hash 1", "l", 1.0),
        (2, b"event 2", "hash 2", "l", 2.0),
        (3, b"event 3", "hash 3", "l", 3.0),
    ]


@pytest.mark.parametrize("sequence", [0, 2, 4])
def test_a_step_that_is_not_the_next_one_is_refused(database: Engine, token: int, sequence: int) -> None:
    journal.commit(database, token, step(1))
    journal.commit(database, token, step(2))
    with pytest.raises(RemoteRefused, match="the last one stored is 2"):
        journal.commit(database, token, step(sequence, rows=[row("i")]))
    assert len(journal.load(database).events) == 2
    assert outbox.pending(database) == 0


def test_a_step_stores_everything_it_leaves_behind(database: Engine, token: int) -> None:
    first = journal.receive(database, token, "gerrit:review", b"\xff raw", 1.0)
    second = journal.receive(database, token, "rpc", b"{}", 2.0)
    done, failed = journal.commit(database, token, step(1, rows=[row("a"), row("b")]))
    build_set = history.BuildsetRow(item="a", attempt=1, pipeline="gate", project="p", created_at=1.0)
    ids = journal.commit(
        database,
        token,
        step(
            2,
            rows=[row("c"), row("d"), row("e")],
            finished=[outbox.Finished(id=done), outbox.Finished(id=failed, error="no such branch")],
            received=[first],
            history=[build_set],
            snapshot=b"state after 2",
        ),
    )
    assert [received.id for received in journal.all_received(database)] == [second]
    todo = outbox.todo(database)
    assert [(row.id, row.key, row.sequence) for row in todo] == [(ids[0], "c", 2), (ids[1], "d", 2), (ids[2], "e", 2)]
    with reading(database) as connection:
        closed = connection.execute(text("SELECT status, error FROM outbox WHERE sequence = 1 ORDER BY id"))
        assert [tuple(line) for line in closed] == [("done", None), ("failed", "no such branch")]
        assert connection.execute(text("SELECT item FROM buildset")).scalar() == "a"
    assert journal.load(database) == journal.Stored(
        snapshot=Snapshot(sequence=2, at=2.0, layout="l", state=b"state after 2"), events=[]
    )


def test_a_step_that_cannot_be_stored_leaves_nothing(database: Engine, token: int) -> None:
    received = journal.receive(database, token, "rpc", b"{}", 1.0)
    wrong = history.BuildsetRow(item="a", attempt=1, pipeline="gate", project=None, created_at=1.0)  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"(?i)not.null"):
        journal.commit(
            database, token, step(1, rows=[row("a")], received=[received], snapshot=b"state", history=[wrong])
        )
    assert journal.load(database) == journal.Stored(snapshot=None, events=[])
    assert outbox.todo(database) == []
    assert len(journal.all_received(database)) == 1


def test_events_after_the_snapshot_are_loaded_with_it(database: Engine, token: int) -> None:
    journal.put_snapshot(database, token, Snapshot(sequence=0, at=0.0, layout="", state=b"created"))
    journal.commit(database, token, step(1))
    journal.commit(database, token, step(2))
    journal.put_snapshot(database, token, Snapshot(sequence=2, at=5.0, layout="l", state=b"idle"))
    journal.commit(database, token, step(3))
    stored = journal.load(database)
    assert stored.snapshot == Snapshot(sequence=2, at=5.0, layout="l", state=b"idle")
    assert [event.sequence for event in stored.events] == [3]


def test_a_state_that_is_not_the_newest_is_refused(database: Engine, token: int) -> None:
    journal.commit(database, token, step(1))
    for sequence in (0, 2):
        with pytest.raises(RemoteRefused, match="the last one stored is 1"):
            journal.put_snapshot(database, token, Snapshot(sequence=sequence, at=0.0, layout="", state=b""))
    assert journal.load(database).snapshot is None


def test_what_is_discarded_is_gone(database: Engine, token: int) -> None:
    ids = [journal.receive(database, token, "rpc", b"%d" % n, 1.0) for n in range(3)]
    journal.discard(database, token, ids[:2])
    journal.discard(database, token, [])
    assert [(row.id, row.payload, row.source) for row in journal.all_received(database)] == [(ids[2], b"2", "rpc")]


def test_an_id_is_never_given_twice(database: Engine, token: int) -> None:
    first = journal.receive(database, token, "rpc", b"", 1.0)
    journal.discard(database, token, [first])
    assert journal.receive(database, token, "rpc", b"", 1.0) > first


def test_what_is_parked_is_not_received_again(database: Engine, token: int) -> None:
    received = journal.receive(database, token, "gerrit:review", b"\0\xff", 1.0)
    refused = Parked(at=2.0, source="gerrit:review", payload=b"\0\xff", item="i", traceback="line 1: \0 \udcff")
    id = journal.park(database, token, refused, [received])
    assert journal.all_received(database) == []
    assert journal.all_parked(database) == [
        Parked(id=id, at=2.0, source="gerrit:review", payload=b"\0\xff", item="i", traceback="line 1: \ufffd ?")
    ]


def test_a_layout_is_found_by_its_hash(database: Engine, token: int) -> None:
    journal.put_layout(database, token, "h", b"content" * 100, 1.0)
    journal.put_layout(database, token, "h", b"content" * 100, 2.0)
    assert journal.get_layout(database, "h") == b"content" * 100
    assert journal.get_layout(database, "other") is None


def test_old_steps_go_and_what_is_needed_stays(database: Engine, token: int) -> None:
    for hash in ("unused", "old", "kept", "current"):
        journal.put_layout(database, token, hash, hash.encode(), at=0.0)
    journal.put_layout(database, token, "fresh", b"fresh", at=9 * DAY)
    old = journal.commit(database, token, step(1, at=1 * DAY, layout="old", rows=[row("a"), row("b")]))
    outbox.finish(database, token, old[0])
    recent = journal.commit(database, token, step(2, at=8 * DAY, layout="kept", rows=[row("c")], snapshot=b"state"))
    outbox.finish(database, token, recent[0])
    journal.commit(database, token, step(3, at=1 * DAY, layout="current"))  # after the snapshot
    journal.park(database, token, Parked(at=1 * DAY, source="journal", payload=b"old", traceback=""))
    journal.park(database, token, Parked(at=9 * DAY, source="journal", payload=b"new", traceback=""))

    assert journal.prune(database, token, keep_days=5, now=10 * DAY) == 1

    with reading(database) as connection:
        assert list(connection.execute(text("SELECT sequence FROM journal ORDER BY 1")).scalars()) == [2, 3]
        assert list(connection.execute(text("SELECT id FROM outbox ORDER BY 1")).scalars()) == [old[1], recent[0]]
        kept = connection.execute(text("SELECT hash FROM layout ORDER BY 1")).scalars()
        assert list(kept) == ["current", "fresh", "kept"]
    assert [row.payload for row in journal.all_parked(database)] == [b"new"]
    assert [event.sequence for event in journal.load(database).events] == [3]


def test_more_steps_than_go_at_once_all_go_and_counting_goes_on(
    database: Engine, token: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "PRUNED_AT_ONCE", 3)
    for sequence in range(1, 9):
        journal.commit(database, token, step(sequence, snapshot=b"state"))
    assert journal.prune(database, token, keep_days=0, now=100.0) == 8
    with reading(database) as connection:
        assert connection.execute(text("SELECT count(*) FROM journal")).scalar() == 0
    journal.commit(database, token, step(9))
    assert [event.sequence for event in journal.load(database).events] == [9]


def test_a_step_that_is_missing_stops_the_start(database: Engine, token: int) -> None:
    for sequence in (1, 2, 3):
        journal.commit(database, token, step(sequence))
    with transaction(database) as connection:
        connection.execute(text("DELETE FROM journal WHERE sequence = 2"))
    with pytest.raises(RemoteRefused, match="lacks step 2"):
        journal.load(database)


def test_a_state_of_a_newer_release_stops_the_start(database: Engine, token: int) -> None:
    journal.put_snapshot(database, token, Snapshot(sequence=0, at=0.0, layout="", state=b"state"))
    with transaction(database) as connection:
        connection.execute(text("UPDATE snapshot SET format = format + 1"))
    with pytest.raises(ConfigurationError, match=f"format {FORMAT + 1}"):
        journal.load(database)


def test_a_damaged_state_stops_the_start(database: Engine, token: int) -> None:
    journal.put_snapshot(database, token, Snapshot(sequence=0, at=0.0, layout="", state=b"state"))
    with transaction(database) as connection:
        connection.execute(text("UPDATE snapshot SET state = :state"), {"state": zlib.compress(b"state")[:-3]})
    with pytest.raises(RemoteRefused, match="damaged"):
        journal.load(database)
