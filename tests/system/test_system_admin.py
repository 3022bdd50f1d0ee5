"""What administrators ask a running scheduler for, each as a process: exit codes and texts are an interface."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.system import GATE, Gate, running_gate
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.stand_in import SimGerrit

LAYOUT = (
    GATE
    + """\
  - name: check
    manager: IndependentPipelineManager
    trigger: {}
    success:
      gerrit: {verified: 1}
  - name: post
    manager: IndependentPipelineManager
    trigger: {}
jobs:
  - name: docs
    voting: false
projects:
  - name: $alpha
    gate: [unit]
    check: [unit, docs]
    post: [publish]
  - name: $beta
    gate: [unit]
"""
)


@pytest.fixture
def gate(stand_in: SimGerrit, tmp_path: Path) -> Iterator[Gate]:
    with running_gate(tmp_path, stand_in, LAYOUT, jobs=("unit", "docs", "publish")) as gate:
        yield gate
        assert gate.complaints() == []


def asked(pipeline: str, project: str, change: str, trigger: str = "gerrit") -> tuple[str, ...]:
    return ("--trigger", trigger, "--pipeline", pipeline, "--project", project, "--change", change)


def test_a_change_is_enqueued_shown_and_dequeued(gate: Gate) -> None:
    assert gate.admin("show", "running-jobs") == (0, "No jobs currently running\n", "")

    change = gate.push("alpha", {"new": "x\n"})
    assert gate.admin("enqueue", *asked("check", change.project, change.id)) == (0, "", "")
    gate.wait_for_builds(("unit", change.number), ("docs", change.number))
    wait_until(lambda: [job["number"] for item in gate.site.items() for job in item["jobs"]] == [1, 1])

    code, table, _ = gate.admin("show", "running-jobs", "--columns", "name,number,worker.name,voting,result")
    assert code == 0
    rows = [[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in table.splitlines()]
    assert [row for row in rows if len(row) == 5] == [
        ["Job Name", "Number", "Worker", "Voting", "Result"],
        ["unit", "1", "w1", "Yes", ""],
        ["docs", "1", "w1", "No", ""],
    ]
    code, text, _ = gate.admin("show", "running-jobs", "--format", "json")
    (item,) = json.loads(text)
    assert (code, item["id"], item["project"]) == (0, change.id, change.project)
    assert [(job["name"], job["url"]) for job in item["jobs"]] == [
        ("unit", "http://w1.example.net/job/unit/1/"),
        ("docs", "http://w1.example.net/job/docs/1/"),
    ]

    dequeue = ("dequeue", "--pipeline", "check", "--project", change.project, "--change", change.id)
    assert gate.admin(*dequeue) == (0, "", "")
    gate.worker.wait_for(lambda worker: [build.result for build in worker.history] == ["ABORTED"] * 2)
    words = f"Error: {change.id} of project {change.project} is not in pipeline check\n"
    assert gate.admin(*dequeue) == (1, "", words)
    assert gate.reports(change) == []


def test_a_ref_is_enqueued_and_dequeued(gate: Gate) -> None:
    project = gate.names["alpha"]
    new = gate.gerrit.head(project)
    ref = ("--ref", "refs/heads/master", "--newrev", new)
    common = ("--pipeline", "post", "--project", project)
    assert gate.admin("enqueue-ref", "--trigger", "gerrit", *common, *ref) == (0, "", "")
    gate.worker.wait_for(lambda worker: len(worker.builds) == 1)
    (build,) = gate.worker.builds
    told = {name: build.parameters.get(f"ZUUL_{name}") for name in ("REF", "OLDREV", "NEWREV", "SHORT_NEWREV")}
    assert build.job == "publish"
    assert told == {"REF": "refs/heads/master", "OLDREV": "0" * 40, "NEWREV": new, "SHORT_NEWREV": new[:7]}
    assert gate.admin("dequeue", *common, "--ref", "refs/heads/master") == (0, "", "")
    gate.worker.wait_for(lambda worker: [build.result for build in worker.history] == ["ABORTED"])

    code, _, said = gate.admin("enqueue-ref", "--trigger", "gerrit", *common, *ref, "--oldrev", new)
    assert (code, said.splitlines()[-1]) == (2, "Error: The old and new revisions must not be the same.")


def test_what_cannot_be_done_is_refused_with_a_reason(gate: Gate) -> None:
    change = gate.push("alpha", {"new": "x\n"})
    alpha = change.project
    promote = ("promote", "--pipeline")
    words = "Invalid trigger: nobody\nInvalid project: nothing\nInvalid pipeline: nowhere"
    refused = {
        ("enqueue", *asked("nowhere", "nothing", change.id, "nobody")): words,
        ("enqueue", *asked("check", alpha, "99999,1")): "Invalid change: 99999,1",
        ("enqueue", *asked("check", alpha, "x")): "Invalid change: x (write NUMBER,PATCHSET)",
        (*promote, "nowhere", "--changes", change.id): "Invalid pipeline: nowhere",
        (*promote, "gate", "--changes", change.id): f"Unable to find shared change queue for {change.id}",
    }
    assert {arguments: gate.admin(*arguments) for arguments in refused} == {
        arguments: (1, "", f"Error: {said}\n") for arguments, said in refused.items()
    }
    note = "not enqueued: Gerrit would not let it merge yet\n"
    assert gate.admin("enqueue", *asked("gate", alpha, change.id)) == (0, "", note)
    assert gate.site.items() == []
    assert gate.worker.builds == []
    assert gate.admin("dequeue", "--pipeline", "gate", "--project", alpha)[0] == 2
