"""The parts of the demo: what it tells, how it judges the outcome, and what it asks of the machine."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from zuul_launcher.cli.main import main
from zuul_launcher.layout.load import load as load_layout
from zuul_launcher.sim.demo_jobs import hold, jobs_file, together
from zuul_launcher.sim.demo_news import Landing, first_words, landing, news, reason, said
from zuul_launcher.sim.demo_outcome import Ending, Result, differences
from zuul_launcher.sim.demo_show import PlainDisplay, display_on, final_table, queues, summary
from zuul_launcher.sim.demo_story import APPROVALS, CHANGES, LANDING, LAYOUT, UPDATED, message
from zuul_launcher.worker.definitions.job import Definitions, Shell
from zuul_launcher.worker.definitions.load import Sources, load

REASONS = {"merged": "", "failed": "Build failed. unit: FAILURE in 4s", "conflict": "Merge Failed. hello.sh"}


def _result(name: str) -> Result:
    (change,) = (change for change in CHANGES if change.name == name)
    place = LANDING.index(name) + 1 if name in LANDING else None
    return Result(
        planned=change,
        id=f"{CHANGES.index(change) + 1},{2 if name == UPDATED else 1}",
        place=place,
        why=REASONS[change.outcome],
        builds=4,
        stopped=2 if name == UPDATED else 0,
        is_as_tested=True if place else None,
        failed_at="http://127.0.0.1:8002/job/unit/9/" if change.outcome == "failed" else "",
    )


GOOD = Ending(
    results=tuple(_result(change.name) for change in CHANGES), order=LANDING, builds=44, stopped=2, most_at_once=6
)


def _with(name: str, **facts: Any) -> Ending:
    changed = (replace(one, **facts) if one.planned.name == name else one for one in GOOD.results)
    return replace(GOOD, results=tuple(changed))


def _status(*items: Mapping[str, Any]) -> dict[str, Any]:
    queue = {"name": "shop", "heads": [list(items)]}
    return {"pipelines": [{"name": "gate", "change_queues": [queue]}]}


def _item(id: str = "1,1", **facts: Any) -> dict[str, Any]:
    item = {"id": id, "project": "lib", "live": True, "item_ahead": None, "zuul_ref": "Z1", "failing_reasons": []}
    return {**item, "jobs": [_job()], **facts}


def _job(**facts: Any) -> dict[str, Any]:
    return {"name": "unit", "result": None, "start_time": None, "elapsed_time": None, **facts}


def _shown(renderable: object, width: int = 160) -> str:
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115 - closed with it
    with console.file:
        console.print(renderable)
    return console.export_text()


def test_the_story_has_three_projects_and_eleven_changes_that_are_all_approved() -> None:
    assert len({change.project for change in CHANGES}) == 3
    assert len(CHANGES) == 11
    assert sorted(APPROVALS) == sorted(change.name for change in CHANGES)


def test_what_is_to_land_is_what_is_planned_as_merged() -> None:
    assert sorted(LANDING) == sorted(change.name for change in CHANGES if change.outcome == "merged")


def test_a_change_is_uploaded_after_the_one_it_depends_on_and_approved_before() -> None:
    names = [change.name for change in CHANGES]
    (needy,) = (change for change in CHANGES if change.needs)
    needed = CHANGES[names.index(needy.needs)]
    assert needed.project != needy.project
    assert names.index(needed.name) < names.index(needy.name)
    assert APPROVALS.index(needy.name) < APPROVALS.index(needed.name)
    assert message(needy, {needed.name: "I12"}) == f"{needy.title}\n\nDepends-On: I12\n"


def _definitions(folder: Path) -> Definitions:
    """Of the jobs of a demo in this folder."""
    path = folder / "jobs.yaml"
    path.write_text(jobs_file(folder, folder / "ge rrit"))
    return load(Sources(jobs=path))


def test_the_worker_takes_the_jobs_as_they_are_and_the_layout_names_these(tmp_path: Path) -> None:
    found = _definitions(tmp_path)
    assert found.problems == ()
    assert {name: job.env["LASTS"] for name, job in found.jobs.items()} == {"unit": "4", "style": "2"}
    assert all(job.env["GERRIT_GIT"] == f"{tmp_path}/ge rrit" for job in found.jobs.values())
    (tmp_path / "layout.yaml").write_text(LAYOUT)
    assert set(load_layout(tmp_path / "layout.yaml", {"gerrit": "gerrit"}).layout.jobs) == set(found.jobs)


# What runs in place of `sleep`: it says for how long, and after the third time what was waited for has come.
SLEEP = """\
echo "$1" >> slept
[ "$(grep -c 1 slept)" -ne 3 ] || { rm -f hold-*; touch together; }
"""


def _pauses(folder: Path, pipeline: str, id: str) -> list[str]:
    """Seconds of each pause that a build of `unit` makes when its check is done."""
    folder.joinpath("slept").unlink(missing_ok=True)
    change, patchset = id.split(",")
    told = {"ZUUL_PIPELINE": pipeline, "ZUUL_CHANGE": change, "ZUUL_PATCHSET": patchset}
    step = _definitions(folder).jobs["unit"].steps[-1]
    assert isinstance(step, Shell)
    environment = {**_definitions(folder).jobs["unit"].env, **told, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    subprocess.run(["/bin/sh", "-uc", step.text], cwd=folder, env=environment, check=True, timeout=60)
    return (folder / "slept").read_text().split()


def test_builds_last_and_in_the_gate_they_wait_for_each_other_and_for_what_is_to_stop_them(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    _programs(tmp_path / "bin", sleep=SLEEP)
    hold(tmp_path, "gate", "10,1").touch()
    assert _pauses(tmp_path, "check", "10,1") == ["4"]
    assert _pauses(tmp_path, "gate", "9,1") == ["1", "1", "1", "4"]
    assert together(tmp_path).exists()
    assert _pauses(tmp_path, "gate", "9,1") == ["4"]
    hold(tmp_path, "gate", "10,1").touch()
    assert _pauses(tmp_path, "gate", "10,2") == ["4"]
    assert _pauses(tmp_path, "gate", "10,1") == ["1", "1", "1", "4"]


def test_a_landing_is_read_from_a_change_merged_event_only() -> None:
    event = {"type": "change-merged", "change": {"number": 7, "project": "lib"}, "newRev": "abc"}
    assert landing(event) == Landing("7", "lib", "abc")
    assert landing(event | {"type": "comment-added"}) is None


def test_events_of_gerrit_become_lines() -> None:
    change = {"number": 7, "project": "lib", "subject": "Add count"}
    about = {"change": change, "patchSet": {"number": 2}}
    comment = {"author": {"username": "zuul"}, "comment": "Patch Set 2: Verified+2\n\nBuild succeeded.\n\n- x"}
    uploaded = {**about, "type": "patchset-created", "uploader": {"name": "Ann"}}
    assert said({**about, **comment, "type": "comment-added"}) == "7,2 lib: zuul says “Verified+2; Build succeeded.”"
    assert said(uploaded) == "7,2 lib: Ann uploads “Add count”"
    assert said({**about, "type": "change-merged"}) == "7,2 lib: MERGED"
    assert said({"type": "ref-updated"}) is None


@pytest.mark.parametrize(
    ("comment", "words"),
    [
        ("Patch Set 1: Code-Review+2", "Code-Review+2"),
        ("Patch Set 1: -Verified\n\nStarting gate jobs.", "Starting gate jobs."),
        ("Patch Set 1:\n\nStarting gate jobs.", "Starting gate jobs."),
    ],
)
def test_of_a_comment_the_votes_and_the_first_line_are_shown(comment: str, words: str) -> None:
    assert first_words(comment) == words


@pytest.mark.parametrize(
    ("comment", "why"),
    [
        (
            "Patch Set 1: Verified-2\n\nBuild failed.\n\n"
            "- http://demo.example.net/job/unit/3/ : FAILURE in 4s\n"
            "- http://demo.example.net/job/style/4/ : SUCCESS in 2s",
            "Build failed. unit: FAILURE in 4s",
        ),
        ("Patch Set 1: Verified-2\n\nMerge Failed.\n\nConflicting files:\n- hello.sh\n", "Merge Failed. hello.sh"),
        ("Patch Set 1: Verified-2", ""),
    ],
)
def test_the_reason_is_taken_from_the_comment_of_the_gate(comment: str, why: str) -> None:
    assert reason(comment) == why


def test_nothing_is_news_when_nothing_has_changed() -> None:
    status = _status(_item(jobs=[_job(start_time=1.0)]), _item("2,1", item_ahead="1,1"))
    assert news(status, status) == []


def test_entering_building_and_results_are_news() -> None:
    first = _status(_item(), _item("2,1", item_ahead="1,1"))
    second = _status(_item(jobs=[_job(start_time=1.0)]), _item("2,1", item_ahead="1,1"))
    third = _status(_item(jobs=[_job(start_time=1.0, result="SUCCESS")]), _item("2,1", item_ahead="1,1"))
    assert news(None, first) == ["1,1 lib: enters gate at the head", "2,1 lib: enters gate on top of 1,1"]
    assert news(first, second) == ["1,1 lib: is built in gate at the head"]
    assert news(second, third) == ["1,1 lib: unit in gate: SUCCESS"]


def test_a_restart_on_another_item_is_news_but_not_that_the_one_ahead_landed() -> None:
    before = _status(_item("2,1", item_ahead="1,1", jobs=[_job(start_time=1.0)]))
    landed = _status(_item("2,1", jobs=[_job(start_time=1.0)]))
    again = _status(_item("2,1", zuul_ref="Z2"))
    assert news(before, landed) == []
    assert news(before, again) == ["2,1 lib: its builds are stopped, it is tested again at the head"]


def test_a_failing_item_is_news_without_its_skipped_jobs() -> None:
    failing = _item(failing_reasons=["it has a merge conflict"], jobs=[_job(result="SKIPPED")])
    assert news(_status(_item()), _status(failing)) == ["1,1 lib: fails: it has a merge conflict"]


def test_the_outcome_of_the_story_has_no_differences() -> None:
    assert differences(GOOD) == []


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (replace(GOOD, order=LANDING[1:]), "landed in the order"),
        (replace(GOOD, most_at_once=3), "no more than 3 changes"),
        (_with("polite", place=None, why="Build failed."), "did not land: Build failed."),
        (_with("polite", is_as_tested=False), "what landed is not what was tested"),
        (_with("goodbye", place=3), "5,1 Take leave loudly: landed"),
        (_with("goodbye", why="Merge Failed."), "was turned down for: Merge Failed."),
        (_with("cordial", why="Build failed."), "was turned down for: Build failed."),
        (_with(UPDATED, stopped=0), "no build of it was stopped"),
    ],
)
def test_everything_else_is_a_difference(end: Ending, told: str) -> None:
    (line,) = differences(end)
    assert told in line


def test_the_last_table_has_what_landed_in_order_and_then_the_rest() -> None:
    lines = [line for line in _shown(final_table(GOOD), 250).splitlines() if "," in line and "│" in line]
    ids = [line.split("│")[2].strip() for line in lines]
    assert ids == ["1,1", "2,1", "3,1", "4,1", "7,1", "8,1", "9,1", "11,1", "10,2", "5,1", "6,1"]
    assert "not merged: Build failed. unit: FAILURE in 4s" in lines[-2]
    assert "not merged: Merge Failed. hello.sh" in lines[-1]


def test_the_summary_counts_builds_and_equal_trees() -> None:
    told = "\n".join(summary(_with("polite", is_as_tested=False)))
    assert "9 of 11 changes merged, in this order: 1,1, 2,1, 3,1, 4,1, 7,1, 8,1, 9,1, 11,1, 10,2" in told
    assert "44 builds ran, 2 of them were stopped" in told
    assert "empty for 8 of 9" in told
    assert "the console that says why 5,1 failed: http://127.0.0.1:8002/job/unit/9/" in told


def test_the_live_table_tells_what_waits_for_what_and_why_an_item_fails() -> None:
    running = _item(jobs=[_job(start_time=1.0, elapsed_time=2000)])
    failing = _item("2,1", item_ahead="1,1", failing_reasons=["it has a merge conflict"], jobs=[_job(result="SKIPPED")])
    shown = _shown(queues(_status(running, failing)))
    first, second = (line for line in shown.splitlines() if "gate" in line)
    assert "the branch" in first
    assert "unit runs 2 s" in first
    assert "1,1" in second
    assert "it has a merge conflict" in second
    assert "SKIPPED" not in shown


def test_the_live_table_shows_no_command_that_a_worker_sends_to_the_terminal() -> None:
    assert "\x1b[31m" not in _shown(queues(_status(_item(jobs=[_job(result="\x1b[31mRED")]))))


def test_before_the_first_look_the_live_table_says_that_nothing_waits() -> None:
    assert "nothing is waiting" in _shown(queues(None))


def test_a_terminal_that_cannot_be_redrawn_gets_plain_lines(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        dumb = Console(file=out, force_terminal=True, _environ={"TERM": "dumb"})
        assert isinstance(display_on(dumb, "http://127.0.0.1/"), PlainDisplay)
        clever = Console(file=out, force_terminal=True, _environ={"TERM": "xterm"})
        assert not isinstance(display_on(clever, "http://127.0.0.1/"), PlainDisplay)


def _programs(folder: Path, **scripts: str) -> str:
    for name, script in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("scripts", "arguments", "told"),
    [
        ({}, [], "git is missing"),
        ({"git": "echo git version 2.37.1"}, [], "git 2.38 or newer is needed; this is git version 2.37.1"),
        ({"git": "exit 1"}, [], "git 2.38 or newer is needed; this is none"),
        ({"git": "echo git version 3.0"}, ["--gerrit", "real"], "ssh is missing: `make services`"),
        ({"git": "echo git version 2.38.0", "ssh": "exit 1"}, ["--gerrit", "real"], "java is missing: `make services`"),
    ],
)
def test_what_the_machine_lacks_is_named_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripts: dict[str, str], arguments: list[str], told: str
) -> None:
    monkeypatch.setenv("PATH", _programs(tmp_path, **scripts))
    done = CliRunner().invoke(main, ["demo", *arguments])
    assert done.exit_code == 1
    assert told in done.output
    assert "The page" not in done.output
