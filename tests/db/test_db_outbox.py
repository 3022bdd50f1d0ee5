import pytest
from sqlalchemy import Engine, text

from zuul_launcher.db import journal, outbox
from zuul_launcher.db.engine import reading


@pytest.fixture
def ids(database: Engine, token: int) -> list[int]:
    """Three rows: two for gearman (the second from time 50 on), one for the merger between them."""
    rows = [
        outbox.NewRow(kind="Launch", target="gearman", key="a", payload=b'{"job": "unit"}'),
        outbox.NewRow(kind="Merge", target="merger", key="b", payload=b"{}"),
        outbox.NewRow(kind="Cancel", target="gearman", key="a", payload=b"{}", not_before=50.0),
    ]
    step = journal.Step(sequence=1, at=1.0, event=b"{}", actions_hash="", layout="", rows=rows)
    return journal.commit(database, token, step)


def test_each_target_gets_its_own_rows_in_order(database: Engine, ids: list[int]) -> None:
    assert [row.id for row in outbox.todo(database, "gearman")] == [ids[0], ids[2]]
    assert [row.id for row in outbox.todo(database, "merger")] == [ids[1]]
    assert [row.id for row in outbox.todo(database)] == ids
    assert outbox.todo(database, "gerrit:review") == []


def test_a_row_waits_for_its_time(database: Engine, ids: list[int]) -> None:
    assert [row.id for row in outbox.todo(database, "gearman", now=49.0)] == [ids[0]]
    assert [row.id for row in outbox.todo(database, "gearman", now=50.0)] == [ids[0], ids[2]]


def test_a_row_says_all_that_its_target_needs(database: Engine, ids: list[int]) -> None:
    assert outbox.todo(database)[0] == outbox.Row(
        id=ids[0],
        sequence=1,
        kind="Launch",
        target="gearman",
        key="a",
        payload=b'{"job": "unit"}',
        deliveries=0,
        not_before=0.0,
        first_tried_at=None,
        error=None,
    )


def test_tries_are_counted_and_the_first_one_is_remembered(database: Engine, token: int, ids: list[int]) -> None:
    outbox.trying(database, token, ids[0], now=10.0)
    outbox.postpone(database, token, ids[0], not_before=12.0, error="no answer")
    outbox.trying(database, token, ids[0], now=12.0)
    row = outbox.todo(database)[0]
    assert (row.deliveries, row.first_tried_at, row.not_before, row.error) == (2, 10.0, 12.0, "no answer")


@pytest.mark.parametrize(("error", "status"), [(None, "done"), ("permission denied", "failed")])
def test_a_finished_row_is_not_done_again(
    database: Engine, token: int, ids: list[int], error: str | None, status: str
) -> None:
    outbox.finish(database, token, ids[0], error)
    outbox.finish(database, token, ids[0], "too late to say so")
    outbox.trying(database, token, ids[0], now=10.0)
    assert [row.id for row in outbox.todo(database)] == ids[1:]
    assert outbox.pending(database) == 2
    with reading(database) as connection:
        found = connection.execute(text("SELECT status, error, deliveries FROM outbox WHERE id = :id"), {"id": ids[0]})
        assert tuple(found.one()) == (status, error, 0)
