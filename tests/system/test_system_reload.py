"""Behaviour 10.10 with real processes: a new layout while much is under way."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.gear_admin import Admin
from support.gearman_wire import Place
from support.system import Gate, running_gate, seen
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.site import Pushed
from zuul_launcher.sim.gerrit.stand_in import SimGerrit
from zuul_launcher.sim.worker import succeed

PIPELINES = """\
pipelines:
  - name: gate
    manager: DependentPipelineManager
    window: 0
    trigger:
      gerrit:
        - event: comment-added
          approval:
            - code-review: 2
    success:
      gerrit: {verified: 2, submit: true}
    failure:
      gerrit: {verified: -2}
  - name: post
    manager: IndependentPipelineManager
    trigger: {}
"""
BEFORE = """\
projects:
  - name: $alpha
    gate: [unit, docs]
    post: [publish, announce]
"""
AFTER = """\
projects:
  - name: $alpha
    gate: [unit, style]
    post: [publish]
"""
GATED, UPDATES = 20, 180

pytestmark = pytest.mark.filterwarnings("ignore:notifyAll:DeprecationWarning")  # gear's


def builds(gate: Gate) -> dict[str, tuple[str, str]]:
    """What the page shows as under way: uuid -> item and job."""
    return {
        job["uuid"]: (item["id"], job["name"])
        for item in gate.site.items()
        for job in item["jobs"]
        if job["uuid"] and job["result"] is None
    }


def reload(gate: Gate, layout: str) -> None:
    """Have another layout read, and wait until the page is of it."""

    def last() -> int:
        told: dict[str, Any] = gate.site.status() or {}
        return int(told["last_reconfigured"])

    before = last()
    gate.write_layout(layout)
    gate.site.tell("scheduler", signal.SIGHUP)
    wait_until(lambda: last() > before, what="the new layout")


def wait_for(gate: Gate, number: int, condition: Callable[[tuple[str, str]], bool]) -> dict[str, tuple[str, str]]:
    """The builds on the page, once so many meet the condition."""

    def found() -> dict[str, tuple[str, str]] | None:
        now = builds(gate)
        return now if sum(map(condition, now.values())) == number else None

    return wait_until(found, 200, f"{number} builds")


def at_gearman(gate: Gate, *jobs: str) -> int:
    """How many builds of these jobs the Gearman server has, queued or running."""
    wire = Place("site", gate.site.gearman_port).connect()
    lines = [line.split("\t") for line in wire.ask_list("status")]
    wire.close()
    return sum(int(line[1]) for line in lines if line[0].removeprefix("build:") in jobs)


def fill(gate: Gate) -> list[Pushed]:
    """A stack of changes in the gate, every other one on top of the one before it, and many updates of a branch."""
    changes: list[Pushed] = []
    for number in range(GATED):
        on = changes[-1].revision if number % 2 else ""
        changes.append(gate.push("alpha", {f"file{number}": "x\n"}, parent=on))
        gate.approve(changes[-1])
    update = {"trigger": "gerrit", "pipeline": "post", "project": gate.names["alpha"], "ref": "master"}
    with Admin(gate.site.gearman_port) as admin:
        for number in range(1, UPDATES + 1):
            assert admin.ask("enqueue_ref", **update, newrev=f"{number:040x}") == ("complete", "")
    return changes


def test_with_200_items_builds_of_jobs_that_remain_go_on_and_others_are_cancelled(
    stand_in: SimGerrit, tmp_path: Path
) -> None:
    jobs = ("unit", "docs", "style", "publish", "announce")
    with running_gate(tmp_path, stand_in, PIPELINES + BEFORE, jobs=jobs, decide=succeed) as gate:
        changes = fill(gate)
        before = wait_for(gate, 2 * (GATED + UPDATES), lambda _: True)
        assert len(gate.site.items()) == GATED + UPDATES

        reload(gate, PIPELINES + AFTER)
        after = wait_for(gate, GATED, lambda one: one[1] == "style")

        kept = {uuid: one for uuid, one in before.items() if one[1] in ("unit", "publish")}
        assert len(kept) == GATED + UPDATES
        assert {uuid: one for uuid, one in after.items() if one[1] != "style"} == kept
        assert [item["id"] for item in gate.site.items("gate")] == [change.id for change in changes]

        wait_until(lambda: at_gearman(gate, "docs", "announce") == 0, 200, "all others to be withdrawn")
        gate.worker.release_all()
        gate.wait_for_status("MERGED", *changes)
        wait_until(lambda: not gate.site.items(), 200, "an empty page")
        passed = [build.parameters["ZUUL_UUID"] for build in gate.worker.history if build.result == "SUCCESS"]
        assert len(passed) == len(set(passed)) == len(kept) + GATED
        assert set(kept) < set(passed)
        others = {build.job for build in gate.worker.history if build.result != "SUCCESS"}
        assert others <= {"docs", "announce"}  # those that a worker had; the rest was taken off the Gearman server
        assert gate.complaints() == []


def test_a_build_goes_on_while_its_layout_is_replaced_and_another_one_is_only_tried(
    stand_in: SimGerrit, tmp_path: Path
) -> None:
    with running_gate(tmp_path, stand_in, PIPELINES + BEFORE, jobs=("unit", "docs", "style")) as gate:
        change = gate.propose("alpha", "new")
        first = [("docs", change.number), ("unit", change.number)]
        gate.wait_for_builds(*first)
        for _ in range(2):
            reload(gate, PIPELINES + BEFORE)
        shown = gate.site.status()
        assert shown is not None

        other = tmp_path / "other.yaml"
        other.write_text(gate.layout(PIPELINES.replace("gate", "wicket") + AFTER.replace("gate", "wicket")))
        assert gate.admin("validate", str(other))[0] == 0
        now = gate.site.status()
        assert now is not None
        assert now["last_reconfigured"] == shown["last_reconfigured"]
        assert [pipeline["name"] for pipeline in now["pipelines"]] == ["gate", "post"]
        assert gate.running() == first

        gate.worker.release_all()
        gate.wait_for_status("MERGED", change)
        gate.wait_until_idle()
        assert sorted(map(seen, gate.worker.history)) == first
        assert gate.complaints() == []
