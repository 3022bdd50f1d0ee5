"""Behaviour 10.11 and 10.13 with real processes: footers across projects, and tries after each landing."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.system import GATE, Gate, Witness, git, running_gate
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.site import Pushed
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

LAYOUT = (
    GATE
    + """\
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: comment-added
          comment: recheck
    success:
      gerrit: {verified: 1}
  - name: merge-check
    manager: IndependentPipelineManager
    trigger:
      zuul: [{event: project-change-merged}]
    merge-failure:
      gerrit: {}
projects:
  - {name: $alpha, gate: [unit, both], check: [unit], merge-check: [noop]}
  - {name: $beta, gate: [unit, both], check: [unit]}
"""
)
CONFLICT = "Merge Failed.\n\nThis change or one of its cross-repo dependencies was unable to be automatically merged"


@pytest.fixture
def gate(stand_in: SimGerrit, tmp_path: Path) -> Iterator[Gate]:
    with running_gate(tmp_path, stand_in, LAYOUT, jobs=("unit", "both")) as gate:
        yield gate
        assert gate.complaints() == []


def on(change: Pushed, name: str) -> str:
    return f"Add {name}\n\nDepends-On: {change.change_id}\n"


def test_a_footer_brings_an_approved_change_of_another_project_in_ahead(gate: Gate) -> None:
    needed = gate.push("beta", {"needed": "x\n"})
    change = gate.push("alpha", {"new": "x\n"}, on(needed, "new"))
    gate.approve(change)
    gate.wait_for_log("it needs " + needed.id)  # which nobody has approved
    assert gate.site.items() == []

    gate.gerrit.vote(needed, "Code-Review", 2)
    chain = (needed.number, change.number)
    gate.wait_for_builds(*((job, *chain[:length]) for job in ("unit", "both") for length in (1, 2)))
    with Witness(gate) as witness:
        gate.worker.release_all()
        gate.wait_for_status("MERGED", needed, change)
        wait_until(lambda: len(witness.merged) == 2, what="two events")
    gate.wait_until_idle()
    assert witness.merged == list(chain)


def test_in_check_what_is_needed_is_merged_under_the_same_ref_and_not_told(gate: Gate, tmp_path: Path) -> None:
    needed = gate.push("beta", {"needed": "x\n"})
    change = gate.push("alpha", {"new": "x\n"}, on(needed, "new"))
    gate.gerrit.comment(change, "recheck")
    gate.wait_for_builds(("unit", needed.number, change.number))
    (build,) = gate.worker.builds
    assert build.parameters["ZUUL_CHANGE_IDS"] == f"{needed.id} {change.id}"

    folder = tmp_path / "merged"
    git(tmp_path, "init", "--quiet", "--bare", str(folder))
    for own in (needed, change):  # the state that belongs together, in the repository of each
        git(folder, "fetch", "--quiet", f"{build.parameters['ZUUL_URL']}/{own.project}", build.parameters["ZUUL_REF"])
        assert own.revision in git(folder, "rev-list", "FETCH_HEAD").split()

    gate.worker.release_all()
    (said,) = [text for text in gate.wait_for_reports(change, 2) if text != "recheck"]
    assert said.startswith("Build succeeded.")
    wait_until(lambda: queues(gate, "check") == [], what="no queue any more")
    assert gate.reports(needed) == []
    assert len(gate.worker.history) == 1


def queues(gate: Gate, pipeline: str) -> list[object]:
    status = gate.site.status() or {"pipelines": []}
    return [queue for one in status["pipelines"] if one["name"] == pipeline for queue in one["change_queues"]]


def test_after_a_landing_only_those_that_do_not_fit_any_more_are_told(stand_in: SimGerrit, gate: Gate) -> None:
    gate.worker.release_all()
    fitting = gate.push("alpha", {"other": "x\n"})
    for times, content in enumerate(("mine\n", "ours\n"), 1):
        conflicting = gate.push("alpha", {"same": "theirs\n"})
        landing = gate.push("alpha", {"same": content})
        gate.approve(landing)
        gate.wait_for_status("MERGED", landing)
        (said,) = gate.wait_for_reports(conflicting, 1)
        assert said.startswith(CONFLICT)
        assert "SKIPPED" not in said
        gate.wait_until_idle()
        stand_in.abandon(conflicting)
        gate.site.tell("scheduler", signal.SIGHUP)  # it goes on after a new layout
        gate.wait_for_log("the layout was read again", times=times)
    assert gate.reports(fitting) == []
    searches = [command for command in stand_in.faults.said if command.endswith(" status:open")]
    asked = re.escape(f"project:{gate.names['alpha']} status:open")
    assert searches
    assert all(re.search(asked, command) for command in searches)
