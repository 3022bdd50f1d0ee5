"""Behaviours of behaviour.md §10 that name Gerrit, statsd, mail, the page or a site's own code, with real processes."""

import re
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from support.mail_server import MailServer
from support.statsd import Statsd
from support.system import GATE, ONE_JOB, Gate, Witness, prepared_gate, running_gate
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.site import GerritSite
from zuul_launcher.sim.gerrit.stand_in import SimGerrit
from zuul_launcher.sim.worker import succeed

CHECK = """\
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: patchset-created
    success:
      gerrit: {}
"""
BOTH = """\
projects:
  - name: $alpha
    check: [unit]
    gate: [unit]
"""
TIMER = """\
pipelines:
  - name: periodic
    manager: IndependentPipelineManager
    trigger:
      timer:
        - time: '* * * * * */1'
    success:
      mail:
        to: ann@example.net
        from: zuul@example.net
        subject: 'Periodic check for {change.project} succeeded'
projects:
  - name: $alpha
    periodic: [soak]
  - name: $beta
    periodic: [soak]
"""
MAIL = """
[connection mail]
driver = smtp
server = 127.0.0.1
port = {port}
"""
FUNCTIONS = """\
def choose_node(item, params):
    params["ZUUL_NODE"] = "first"


def tell_tags(item, job, params):
    params["TAGS"] = " ".join(sorted(job.tags)) + f" {type(job.tags).__name__}"
"""


def job_of(gate: Gate, pipeline: str) -> dict[str, object]:
    """The only job of the only item of a pipeline, on the page, when its build runs."""

    def running() -> dict[str, object] | None:
        jobs = [job for item in gate.site.items(pipeline) for job in item["jobs"]]
        return jobs[0] if len(jobs) == 1 and jobs[0]["start_time"] else None

    return wait_until(running, what=f"a running job in {pipeline}")  # type: ignore[return-value]  # never None


def test_one_change_is_measured_shown_described_and_told(
    stand_in: SimGerrit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Statsd() as statsd, prepared_gate(tmp_path, stand_in, GATE + CHECK + BOTH) as gate:
        monkeypatch.setenv("STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("STATSD_PORT", str(statsd.port))
        gate.site.start()
        for pipeline in ("check", "gate"):
            statsd.hear(f"zuul.pipeline.{pipeline}.current_changes:0|g".__eq__)
        with gate.working():
            gate.wait_until_ready()
            change = gate.push("alpha", {"new": "x\n"})
            job = job_of(gate, "check")
            assert (job["estimated_time"], job["remaining_time"]) == (0.0, None)
            assert job["worker"] == {
                "name": "w1",
                "hostname": "w1.example.net",
                "ips": ["127.0.0.1"],
                "fqdn": "w1.example.net",
                "program": "zuul_launcher.sim.worker",
                "version": "1",
                "extra": {},
            }
            gate.release(change)
            url = "http://w1.example.net/job/unit"
            assert gate.wait_for_reports(change, 1) == [f"Build succeeded.\n\n- {url}/1/ : SUCCESS in 0s"]
            assert stand_in.votes(change) == {}

            statsd.lines.clear()
            gate.approve(change)
            job = job_of(gate, "gate")
            assert job["estimated_time"] > 0.0  # type: ignore[operator]
            assert job["remaining_time"] is not None
            gate.release(change)
            gate.wait_for_status("MERGED", change)
            gate.wait_until_idle()
            wait_until(lambda: ("unit", 2) in gate.worker.descriptions, what="a description")
            described = gate.worker.descriptions["unit", 2]
            zuul_urls = [build.parameters["ZUUL_URL"] for build in gate.worker.history]
        here, project = r"zuul\.pipeline\.gate", re.escape(change.project)
        expected = [
            r"gerrit\.event\.comment-added:1\|c",
            rf"{here}\.current_changes:1\|g",
            rf"{here}\.all_jobs:1\|c",
            rf"{here}\.job\.unit\.SUCCESS:1\|c",
            rf"{here}\.job\.unit\.SUCCESS:\d+\|ms",
            rf"{here}\.resident_time:\d+\|ms",
            rf"{here}\.total_changes:1\|c",
            rf"{here}\.{project}\.resident_time:\d+\|ms",
            rf"{here}\.{project}\.total_changes:1\|c",
        ]
        statsd.hear(*(re.compile(line).fullmatch for line in expected))
    assert gate.complaints() == []
    assert len(zuul_urls) == 2
    assert set(zuul_urls) == {f"{gate.site.url}/p"}
    for part in ("Branch: <b>master</b>", "Pipeline: <b>gate</b>", f'<a href="{url}/2/">unit #2</a>: SUCCESS'):
        assert part in described
    assert "<p>Reported result: <b>SUCCESS</b></p>" in described


def test_all_behind_a_change_that_gerrit_does_not_submit_are_tested_again_and_land(
    stand_in: SimGerrit, tmp_path: Path
) -> None:
    with running_gate(tmp_path, stand_in) as gate:
        refused, *others = changes = [gate.push(name, {f"new{number}": "x\n"}) for number, name in enumerate(NAMES)]
        stand_in.refuse_submit(refused)
        numbers = [change.number for change in changes]
        for change in changes:
            gate.approve(change)
        gate.wait_for_builds(*(("unit", *numbers[: place + 1]) for place in range(3)))
        gate.release(refused)
        gate.wait_for_builds(("unit", numbers[1]), ("unit", *numbers[1:]))
        gate.worker.release_all()
        gate.wait_for_status("MERGED", *others)
        gate.wait_until_idle()
        assert stand_in.status(refused) == "NEW"
        assert [len(gate.reports(change)) for change in changes] == [2, 2, 2]
        assert sorted(build.result or "" for build in gate.worker.history) == ["ABORTED"] * 2 + ["SUCCESS"] * 3


NAMES = ("alpha", "alpha", "beta")  # which share a queue


def test_a_stack_on_merged_changes_lands_in_its_order_once_all_of_it_is_approved(
    gerrit: GerritSite, tmp_path: Path
) -> None:
    with prepared_gate(tmp_path, gerrit) as gate:
        bottom = gate.push("alpha", {"m2": "x\n"})
        below = gate.push("alpha", {"m1": "x\n"}, parent=bottom.revision)
        for each in (bottom, below):
            gerrit.merge_by_hand(each)
        gate.site.start()
        with gate.working(), Witness(gate) as witness:
            gate.wait_until_ready()
            stack = [gate.push("alpha", {"a": "x\n"}, parent=below.revision)]
            for name in ("b", "c"):
                stack.append(gate.push("alpha", {name: "x\n"}, parent=stack[-1].revision))
            first, second, third = stack

            gate.approve(third)
            why = f"{third.id} is not enqueued in gate: it needs {second.id}, which Gerrit would not let merge yet"
            gate.wait_for_log(why)
            assert gate.site.items() == gate.worker.history == gate.worker.builds == []
            gate.approve(second)
            gate.approve(first)
            numbers = [change.number for change in stack]
            gate.wait_for_builds(*(("unit", *numbers[: place + 1]) for place in range(3)))
            gate.worker.release_all()
            gate.wait_for_status("MERGED", *stack)
            gate.wait_until_idle()
            assert witness.merged == numbers
        if isinstance(gerrit, SimGerrit):
            asked = [command.rpartition(" ")[2] for command in gerrit.faults.said if " query " in command]
            assert below.number in asked
            assert bottom.number not in asked


def fired(gate: Gate) -> int:
    """How often a timer has."""
    with urllib.request.urlopen(f"{gate.site.url}/metrics", timeout=30) as answer:
        found = re.search(r'^zuul_events_total\{type="timer"\} (\d+)', answer.read().decode(), re.MULTILINE)
    return int(found[1]) if found else 0


def test_a_timer_runs_each_project_once_at_a_time_on_what_is_there_then_and_tells_by_mail(
    stand_in: SimGerrit, tmp_path: Path
) -> None:
    with MailServer() as server, prepared_gate(tmp_path, stand_in, TIMER) as gate:
        gate.site.config.write_text(gate.site.config.read_text() + MAIL.format(port=server.port))
        gate.site.start()
        with gate.working(("soak",), succeed):
            gate.wait_until_ready()
            gate.worker.wait_for(lambda worker: len(worker.builds) == 2)
            before = fired(gate)
            wait_until(lambda: fired(gate) >= before + 3, what="more timers")
            assert sorted(build.parameters["ZUUL_PROJECT"] for build in gate.worker.builds) == sorted(
                gate.names.values()
            )
            assert [(item["id"], len(item["jobs"])) for item in gate.site.items()] == [(None, 1)] * 2

            alpha = gate.names["alpha"]
            tip = stand_in.push_commit(alpha, "master", {"meanwhile": "x\n"}, "Meanwhile")
            gate.worker.release()
            gate.worker.wait_for(lambda worker: len(worker.history) == len(worker.builds) == 2)
            assert {build.result for build in gate.worker.history} == {"SUCCESS"}
            repository = gate.site.folder / "git" / alpha
            assert git_head(repository) == tip

            gate.write_layout(TIMER.replace("timer:\n        - time: '* * * * * */1'", "{}"))
            gate.site.tell("scheduler", signal.SIGHUP)
            gate.wait_for_log("the layout was read again")
            gate.worker.release_all()
            gate.wait_until_idle()
            runs = [build.parameters["ZUUL_PROJECT"] for build in gate.worker.history]
            wait_until(lambda: len(server.mails) == len(runs), what="a mail for each run")
    told = [(mail.sender, mail.recipients, mail.message["Subject"]) for mail in server.mails]
    subjects = [f"Periodic check for {name} succeeded" for name in runs]
    assert sorted(told) == sorted(("zuul@example.net", ["ann@example.net"], subject) for subject in subjects)


def git_head(repository: Path) -> str:
    command = ["git", "rev-parse", "refs/heads/master"]
    return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.strip()


def test_functions_of_the_site_see_tags_and_choose_nodes_and_are_read_again(
    stand_in: SimGerrit, tmp_path: Path
) -> None:
    layout = """\
includes:
  - python-file: functions.py
jobs:
  - name: unit
    parameter-function: choose_node
  - name: ^.*docs$
    parameter-function: tell_tags
  - name: ^tagged
    tags: [old]
  - name: tagged-docs
    tags: [new]
"""
    layout += GATE + ONE_JOB.replace("[unit]", "[unit, plain, tagged-docs, docs]", 1)
    jobs = ("unit:first", "unit:second", "plain", "docs", "tagged-docs")
    with running_gate(tmp_path, stand_in, layout, jobs=jobs, files={"functions.py": FUNCTIONS}) as gate:
        first = gate.propose("alpha", "new")
        names = ("unit", "plain", "docs", "tagged-docs")
        gate.wait_for_builds(*((job, first.number) for job in names))
        told = {build.job: build.parameters for build in gate.worker.builds}
        assert {job: told[job].get("ZUUL_NODE") for job in names} == {**dict.fromkeys(names), "unit": "first"}
        assert {job: told[job].get("TAGS") for job in ("docs", "tagged-docs")} == {
            "docs": " set",
            "tagged-docs": "new old set",
        }

        (gate.site.folder / "functions.py").write_text(FUNCTIONS.replace("first", "second"))
        gate.site.tell("scheduler", signal.SIGHUP)
        gate.wait_for_log("the layout was read again")
        second = gate.propose("alpha", "newer")
        gate.worker.wait_for(lambda worker: len(worker.builds) == 8)
        nodes = {
            build.parameters["ZUUL_CHANGE"]: build.parameters["ZUUL_NODE"]
            for build in gate.worker.builds
            if build.job == "unit"
        }
        assert nodes == {first.number: "first", second.number: "second"}
        gate.worker.release_all()
        gate.wait_for_status("MERGED", first, second)
