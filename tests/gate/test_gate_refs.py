"""Behaviour 10.5, without timers: updates of branches and tags."""

from msgspec.structs import replace
from support import gate_layouts
from support.player import Player

NEW, GONE = "2" * 40, "0" * 40


def push(play: Player, ref: str = "main", newrev: str = NEW) -> None:
    play.send(play.world.tell_update("P", ref, newrev, play.tick()))
    play.settle()


def test_an_update_of_a_branch_runs_its_jobs() -> None:
    play = Player(gate_layouts.scenario_layout())
    push(play)
    assert play.running() == [f"P-post {NEW}"]
    play.drain()
    assert play.closed() == ["reported success"]
    play.check_the_end()


def test_refs_that_the_filter_leaves_out_run_nothing() -> None:
    play = Player(gate_layouts.scenario_layout())
    push(play, ref="refs/changes/01/1/1")
    assert play.running() == []


def test_a_deleted_branch_runs_nothing_unless_it_is_wanted() -> None:
    layout = gate_layouts.scenario_layout()
    play = Player(layout)
    push(play, newrev=GONE)
    assert play.running() == []

    wanted = replace(layout.pipelines["post"].triggers[0], ignore_deletes=False)
    play.load(gate_layouts.with_pipeline(layout, "post", triggers=(wanted,)))
    push(play, newrev=GONE)
    assert play.running() == [f"P-post {GONE}"]


def test_the_merger_is_asked_to_update_the_repository_first() -> None:
    play = Player(gate_layouts.scenario_layout())
    play.send(play.world.tell_update("P", "main", NEW, play.tick()))
    (merge,) = play.merges
    assert (merge.function, merge.arguments["project"]) == ("merger:update", "P")
    assert play.running() == []


def test_each_update_is_tested_by_itself_and_once() -> None:
    play = Player(gate_layouts.scenario_layout())
    push(play)
    push(play)
    push(play, newrev="3" * 40)
    assert play.running() == [f"P-post {NEW}", f"P-post {'3' * 40}"]


def test_a_branch_filter_of_a_job_is_matched_against_the_ref() -> None:
    layout = gate_layouts.scenario_layout()
    for branches, expected in ((("main",), 1), (("stable",), 0)):
        play = Player(gate_layouts.with_job(layout, "P-post", branches=branches))
        push(play)
        assert len(play.running()) == expected
