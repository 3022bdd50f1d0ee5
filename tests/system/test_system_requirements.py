"""Behaviour 10.12 with real processes: votes as Gerrit tells of them let a change in or keep it out."""

from pathlib import Path

from support.system import Gate, running_gate
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.site import GerritSite, Pushed

LAYOUT = """\
pipelines:
  - name: check
    manager: IndependentPipelineManager
    require:
      open: true
      current-patchset: true
      approval:
        - username: ^ben$
          email: ^ben@
          code-review: [1, 2]
          newer-than: 48h
    reject:
      approval:
        - code-review: [-1, -2]
    trigger:
      gerrit:
        - event: comment-added
          comment: recheck
          reject-approval:
            - username: admin
    success:
      gerrit: {}
projects:
  - {name: $alpha, check: [unit]}
"""
MISSING, REJECTED = "a required approval is missing", "it has an approval that the pipeline rejects"


def runs(gate: Gate, change: Pushed) -> None:
    """Asked for, it is tested, once more."""
    before = len(gate.worker.history)
    gate.gerrit.comment(change, "recheck")
    gate.worker.wait_for(lambda worker: len(worker.history) == before + 1, 60)
    succeeded = sum(build.parameters["ZUUL_CHANGE"] == change.number for build in gate.worker.history)
    wait_until(lambda: "\n".join(gate.reports(change)).count("Build succeeded.") == succeeded, what="its report")
    gate.wait_until_idle()


def is_kept_out(gate: Gate, change: Pushed, reason: str, times: int = 1) -> None:
    """Asked for, it is not tested (which is seen at the end), and the log says why."""
    gate.gerrit.comment(change, "recheck")
    gate.wait_for_log(reason, times=times)


def test_votes_open_and_close_a_pipeline(gerrit: GerritSite, tmp_path: Path) -> None:
    with running_gate(tmp_path, gerrit, LAYOUT) as gate:
        gate.worker.release_all()
        change = gate.push("alpha", {"new": "x\n"})
        is_kept_out(gate, change, MISSING)
        gerrit.vote(change, "Code-Review", 1, "ann")
        is_kept_out(gate, change, MISSING, 2)
        gerrit.vote(change, "Code-Review", 1, "ben")
        runs(gate, change)

        gerrit.vote(change, "Code-Review", -1, "ann")
        is_kept_out(gate, change, REJECTED)
        gerrit.vote(change, "Code-Review", 2, "ann")
        runs(gate, change)

        newer = gate.gerrit.push_patch_set(change, {"new": "y\n"})
        is_kept_out(gate, change, "it is not the current patch set")
        gerrit.vote(newer, "Code-Review", 2, "ben")
        runs(gate, newer)

        gerrit.vote(newer, "Verified", 1, "admin")  # the trigger does not hear of it any more
        gerrit.comment(newer, "recheck")
        other = gate.push("alpha", {"other": "x\n"})
        gerrit.vote(other, "Code-Review", 2, "ben")
        runs(gate, other)
        tested = [build.parameters["ZUUL_CHANGE_IDS"] for build in gate.worker.history]
        assert tested == [change.id, change.id, newer.id, other.id]
    assert gate.complaints() == []
