"""History rows: what a step did to builds and build sets, also to those that are gone after it."""

import pytest
from support import gate_layouts
from support.player import Player

from zuul_launcher.db.history import AnyRow, BuildRow, BuildsetRow
from zuul_launcher.gate.step import step
from zuul_launcher.model.events import AnyEvent, BuildProgress, WorkerData
from zuul_launcher.service.records import known, rows


@pytest.fixture
def player() -> Player:
    """A change of project B with its builds `unit` and `style` running."""
    player = Player(gate_layouts.gate_layout())
    change = player.world.upload("B")
    player.say("comment-added", change)
    return player


def recorded(player: Player, event: AnyEvent) -> list[AnyRow]:
    before = known(player.state)
    actions = step(player.state, player.layout, event)
    return rows(before, player.state, player.layout, event, actions)


def test_what_a_worker_says_is_stored_with_the_open_build(player: Player) -> None:
    uuid = player.world.running()[0]
    payload = player.world.builds[uuid].payload
    said = WorkerData(number=7, manager="w1", url="http://w1/7")
    event = BuildProgress(at=5.0, item=payload.item, attempt=1, build=uuid, data=said)
    (row,) = recorded(player, event)
    assert isinstance(row, BuildRow)
    assert (row.uuid, row.job, row.change, row.patchset, row.open) == (uuid, "unit", "1", "1", True)
    assert (row.number, row.manager, row.url, row.started_at, row.result) == (7, "w1", "http://w1/7", 5.0, None)


def test_a_result_closes_the_row(player: Player) -> None:
    uuid = player.world.running()[0]
    (row,) = recorded(player, player.world.finish(uuid, "SUCCESS", 9.0))
    assert isinstance(row, BuildRow)
    assert (row.uuid, row.open, row.result, row.ended_at) == (uuid, False, "SUCCESS", 9.0)


def test_builds_of_an_item_that_leaves_are_closed_as_cancelled(player: Player) -> None:
    running = player.world.running()
    player.world.update("1", status="ABANDONED")
    made = recorded(player, player.world.tell("1", "change-abandoned", 9.0))
    builds = [row for row in made if isinstance(row, BuildRow)]
    assert [(row.uuid, row.open, row.result) for row in builds] == [(uuid, False, "CANCELED") for uuid in running]
    (buildset,) = [row for row in made if isinstance(row, BuildsetRow)]
    assert (buildset.change, buildset.verdict) == ("1", "it was abandoned")


def test_a_build_that_is_run_again_has_a_row_for_each_run(player: Player) -> None:
    uuid = player.world.running()[0]
    old, new = recorded(player, player.world.finish(uuid, None, 9.0))
    assert isinstance(old, BuildRow)
    assert isinstance(new, BuildRow)
    assert (old.uuid, old.open, old.run) == (uuid, False, 1)
    assert (new.open, new.run, new.tries) == (True, 3, 2)
    assert new.uuid != uuid
