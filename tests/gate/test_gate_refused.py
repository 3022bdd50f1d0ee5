"""An item whose events can not be stepped, by a mistake of ours, leaves with ERROR; the others go on."""

from support import gate_layouts
from support.player import Player

from zuul_launcher.model.events import ItemRefused


def refuse(player: Player, item: str) -> None:
    player.send(ItemRefused(at=player.tick(), item=item, reason="KeyError: 'unit'"))
    player.settle()


def test_it_is_told_once_and_those_behind_are_tested_without_it() -> None:
    player = Player(gate_layouts.gate_layout())
    first, second = player.world.upload("A"), player.world.upload("B")
    player.say("comment-added", first)
    player.say("comment-added", second)
    assert "unit 1,1 2,1" in player.running()
    refuse(player, player.item_of(first).id)
    assert player.told_of(first) == ["start", "failure"]
    said = player.world.comments[-1].message
    assert "\n\nERROR: " in said
    assert "KeyError: 'unit'" in said
    assert "- unit" not in said  # no line of a job: none has a result
    assert player.running() == ["unit 2,1", "style 2,1"]
    player.drain()
    assert player.landed() == ["2"]
    player.check_the_end()


def test_it_may_be_gone_already() -> None:
    player = Player(gate_layouts.gate_layout())
    change = player.world.upload("A")
    player.say("comment-added", change)
    item = player.item_of(change).id
    refuse(player, item)
    refuse(player, item)
    assert player.told_of(change) == ["start", "failure"]
    player.check_the_end()


def test_what_was_told_already_is_not_told_again() -> None:
    player = Player(gate_layouts.gate_layout())
    first, second = player.world.upload("C"), player.world.upload("C")
    player.world.unwanted.add(first.number)
    for change in (first, second):
        player.send(player.world.tell(change.number, "comment-added", player.tick()))
    while player.merges:
        player.merge()
    reports = [report for report in player.reports if report.verdict != "start"]
    assert [report.subject.key for report in reports] == [first.key]
    refuse(player, reports[0].item)
    assert player.told_of(first) == ["start", "success"]
    player.drain()
    assert player.landed() == ["2"]
    player.check_the_end()
