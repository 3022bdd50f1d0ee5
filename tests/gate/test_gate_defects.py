"""Defects of Zuul 2 (behaviour.md §12) that no other file of this folder is about."""

from msgspec.structs import replace
from support import gate_layouts
from support.player import Player

from zuul_launcher.model.events import TimerFired
from zuul_launcher.model.layout import TimerFilter


def test_a_project_without_jobs_in_the_pipeline_asks_the_merger_for_nothing() -> None:
    """Neither for an event of its own nor at a timer of the pipeline (12.13)."""
    layout = gate_layouts.scenario_layout()
    check = replace(
        layout.pipelines["check"], triggers=(*layout.pipelines["check"].triggers, TimerFilter(time="0 3 * * *"))
    )
    bare = replace(layout.projects["Q"], pipelines={"gate": layout.projects["Q"].pipelines["gate"]})
    layout = replace(layout, pipelines={**layout.pipelines, "check": check}, projects={**layout.projects, "Q": bare})
    play = Player(layout)
    play.propose(play.upload("Q"))
    assert play.merges == []
    play.send(TimerFired(at=play.tick(), pipeline="check"))
    asked = [merge.arguments["project"] for merge in play.merges]
    assert "P" in asked
    assert "Q" not in asked


def test_one_pipeline_takes_timers_and_gerrit_events() -> None:
    """12.21"""
    layout = gate_layouts.scenario_layout()
    check = replace(
        layout.pipelines["check"], triggers=(TimerFilter(time="0 3 * * *"), *layout.pipelines["check"].triggers)
    )
    play = Player(replace(layout, pipelines={**layout.pipelines, "check": check}))
    play.propose(play.upload("P"))
    play.settle()
    of_the_change = len(play.running())
    assert of_the_change > 0
    play.send(TimerFired(at=play.tick(), pipeline="check"))
    play.settle()
    assert len(play.running()) > of_the_change
