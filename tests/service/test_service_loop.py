"""The loop, when something goes wrong in the middle of a step: what is stored and what is in memory stay the same."""

import logging
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import update
from support.crash import Dice, Outside, open_database
from support.crash_play import LAYOUT, LAYOUT_HASH, Process

from zuul_launcher.db import engine as database
from zuul_launcher.db import history, journal, outbox
from zuul_launcher.db.tables import layout as layout_table
from zuul_launcher.db.tables import outbox as outbox_table
from zuul_launcher.service.inbox import Envelope
from zuul_launcher.service.loop import last_heard, load


class Plan(Dice):
    """Nothing happens by chance: the next commit fails where a test says."""

    fails: str | None = None

    def _strikes(self, what: str, odds: int) -> bool:
        if what != self.fails:
            return False
        self.fails = None
        return True


@pytest.fixture
def outside() -> Outside:
    return Outside(Plan(random.Random(0), lambda line: None))


@pytest.fixture
def process(outside: Outside, empty_database: bytes, fast_folder: Path) -> Iterator[Process]:
    path = fast_folder / "zuul.sqlite"
    path.write_bytes(empty_database)
    engine = open_database(path, outside.dice)
    yield Process(engine, outside, "7" * 32)
    engine.dispose()


def enter(process: Process, outside: Outside) -> str:
    """A change that somebody approved; the item that it becomes."""
    change = outside.world.upload("B")
    process.loop.take(Envelope(outside.world.tell(change.number, "comment-added", 1.0)))
    (item,) = [item.id for item in process.loop.state.items.values() if item.subject == change.key]
    return item


def turn_all(process: Process) -> None:
    for outlet in process.outlets:
        outlet.turn()


def same_as_stored(process: Process) -> bool:
    state, _ = load(process.engine)
    return bool(state == process.loop.state)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_that_fails_is_stepped_exactly_once(process: Process, outside: Outside, when: str) -> None:
    before = process.loop.state.sequence
    outside.dice.fails = f"the database is away {when} a commit"
    item = enter(process, outside)
    assert outside.dice.fails is None
    assert process.loop.state.sequence == before + 1
    assert list(process.loop.state.items) == [item]
    assert same_as_stored(process)
    kinds = [row.kind for row in outbox.todo(process.engine)]
    assert sorted(kinds) == ["Merge", "Report"]


def test_the_log_names_the_change(process: Process, outside: Outside, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zuul_launcher.loop")
    item = enter(process, outside)
    assert [record.getMessage() for record in caplog.records] == [f"gate: B 1,1 enters (item {item})"]


def break_layout(process: Process) -> None:
    """Under the same name, a layout in which the jobs are missing: the next launch is a mistake."""
    process.loop.store_snapshot()
    broken = msgspec.json.encode(replace(LAYOUT, jobs={}))
    with database.transaction(process.engine) as connection:
        connection.execute(
            update(layout_table).where(layout_table.c.hash == LAYOUT_HASH).values(content=zlib.compress(broken))
        )
    process.loop.layout = replace(LAYOUT, jobs={})


def test_an_item_whose_event_is_refused_twice_leaves_with_error(process: Process, outside: Outside) -> None:
    item = enter(process, outside)
    turn_all(process)
    process.step()  # the start report
    break_layout(process)
    process.replies.post(outside.world.merge(outside.merges.pop(), 2.0))
    process.step()
    assert process.loop.put_aside == 2
    assert [(one.source, one.item) for one in journal.all_parked(process.engine)] == [("journal", item)] * 2
    assert "KeyError" in journal.all_parked(process.engine)[0].traceback
    assert same_as_stored(process)
    turn_all(process)
    process.step()
    assert not process.loop.state.items
    assert [said.payload.verdict for said in outside.said] == ["start", "failure"]
    assert "ERROR: " in outside.said[-1].message
    verdicts = [(row.attempt, row.verdict) for row in history.buildsets(process.engine, "1")]
    assert verdicts == [(1, None), (2, "failure")]
    assert outbox.pending(process.engine) == 0, "the merge is not asked for again"


def test_an_item_whose_merge_can_never_be_asked_for_leaves_with_error(process: Process, outside: Outside) -> None:
    enter(process, outside)
    with database.transaction(process.engine) as connection:
        connection.execute(update(outbox_table).where(outbox_table.c.kind == "Merge").values(payload=b"\xff"))
    while process.loop.state.items:
        turn_all(process)
        outside.at += 60.0  # until the next try is due
        while process.step() is not None:
            pass
    assert [said.payload.verdict for said in outside.said] == ["start", "failure"]
    assert "ERROR: the gate made a mistake" in outside.said[-1].message
    assert "Merge: DecodeError: " in outside.said[-1].message
    assert outbox.pending(process.engine) == 0


def test_a_start_knows_when_each_gerrit_was_last_heard(process: Process, outside: Outside) -> None:
    enter(process, outside)
    assert last_heard(process.engine, ["gerrit", "other"]) == {"gerrit": 1.0}
