"""A regex that runs for ages on what somebody wrote does not keep the gate from its work."""

import signal
from pathlib import Path

from support.system import GATE, ONE_JOB, running_gate

from zuul_launcher.sim.gerrit.stand_in import SimGerrit

SLOW = "(a+)+$"
BOTH = GATE.replace(
    "    start:\n", f"        - event: comment-added\n          comment: ['{SLOW}', recheck]\n    start:\n", 1
)
BAD = "a" * 60 + "!"


def test_such_a_comment_is_passed_over_and_the_gate_goes_on(stand_in: SimGerrit, tmp_path: Path) -> None:
    assert BOTH != GATE
    with running_gate(tmp_path, stand_in, BOTH + ONE_JOB) as gate:
        first, second = gate.push("alpha", {"one": "1\n"}), gate.push("beta", {"two": "2\n"})
        stand_in.comment(first, BAD)
        gate.approve(second)
        gate.wait_for_builds(("unit", second.number))
        (error,) = gate.wait_for_errors(f"the layout's pattern {SLOW!r} runs for more than 1 s on the comment ")
        assert "aaaaaaaa" in error
        assert error.endswith(": the text is blanked")
        gate.release(second)
        gate.wait_for_status("MERGED", second)
        assert gate.reports(first) == [BAD]  # nothing of ours


def test_a_layout_whose_pattern_runs_for_ages_on_what_is_there_is_refused(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in) as gate:
        change = gate.propose("alpha", BAD)
        gate.wait_for_builds(("unit", change.number))
        gate.write_layout(GATE + f"jobs:\n  - name: unit\n    files: {SLOW}\n" + ONE_JOB)
        gate.site.tell("scheduler", signal.SIGHUP)
        gate.wait_for_errors(f"layout: the layout's pattern {SLOW!r} runs for more than 1 s on the file ")
        gate.release(change)
        gate.wait_for_status("MERGED", change)
