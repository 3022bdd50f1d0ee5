"""Behaviour 10.15: what administrators ask for, by a client of v2 and to its end."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.gear_admin import Admin
from support.gearman_wire import c_gearmand
from support.system import Gate, Witness, running_gate
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.site import Pushed
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

LAYOUT = """\
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger: {}
    success:
      gerrit: {verified: 1}
  - name: gate
    manager: DependentPipelineManager
    trigger:
      gerrit:
        - event: comment-added
          comment: go
    start:
      gerrit: {verified: 0}
    success:
      gerrit: {verified: 2, submit: true}
    failure:
      gerrit: {verified: -2}
  - name: post
    manager: IndependentPipelineManager
    trigger: {}
projects:
  - name: $alpha
    check: [{unit: [docs]}, style]
    gate: [unit]
    post: [publish]
"""
WORKER_KEYS = {"name", "hostname", "ips", "fqdn", "program", "version", "extra"}

pytestmark = pytest.mark.filterwarnings("ignore:notifyAll:DeprecationWarning")  # gear's


on_both_servers = pytest.mark.parametrize(
    "gate", ["our server", pytest.param("gearmand", marks=pytest.mark.gearmand)], indirect=True
)


@pytest.fixture
def gate(request: pytest.FixtureRequest, stand_in: SimGerrit, tmp_path: Path) -> Iterator[Gate]:
    with ExitStack() as parts:
        options = {}
        if getattr(request, "param", "") == "gearmand":
            options["gearman_port"] = parts.enter_context(c_gearmand()).port
        jobs = ("unit", "docs", "style", "publish")
        gate = parts.enter_context(running_gate(tmp_path, stand_in, LAYOUT, jobs=jobs, **options))
        yield gate
        assert gate.complaints() == []


@pytest.fixture
def admin(gate: Gate) -> Iterator[Admin]:
    with Admin(gate.site.gearman_port) as admin:
        yield admin


def stack(gate: Gate, *parents: int | None) -> list[Pushed]:
    """Approved changes of alpha; each on top of the one with that index, if one is named."""
    changes: list[Pushed] = []
    for number, parent in enumerate(parents):
        on = "" if parent is None else changes[parent].revision
        changes.append(gate.push("alpha", {f"file{number}": "x\n"}, parent=on))
        gate.approve(changes[-1])
    return changes


def start(gate: Gate, *changes: Pushed) -> None:
    """Have them tested on top of each other, in this order."""
    for place, change in enumerate(changes):
        gate.gerrit.comment(change, "go")
        gate.wait_for_builds(*chain(*changes[: place + 1]))


def chain(*changes: Pushed) -> list[tuple[str, ...]]:
    """The builds of a gate with these in it."""
    return [("unit", *(change.number for change in changes[: place + 1])) for place in range(len(changes))]


def shown(gate: Gate) -> dict[str, int]:
    """What is in the gate, in its order: change -> when it came."""
    return {item["id"]: item["enqueue_time"] for item in gate.site.items("gate")}


def ended(gate: Gate) -> list[tuple[str, ...]]:
    """Builds that have passed, in the order of their end."""
    return [
        (build.job, *build.parameters["ZUUL_CHANGE_IDS"].replace(",1", "").split())
        for build in gate.worker.history
        if build.result == "SUCCESS"
    ]


def request(of: Pushed, pipeline: str = "gate", **more: str) -> dict[str, str]:
    return {"trigger": "gerrit", "pipeline": pipeline, "project": of.project, "change": of.id, **more}


def test_an_enqueued_change_is_tested_and_lands(gate: Gate, admin: Admin) -> None:
    (change,) = stack(gate, None)
    assert admin.ask("enqueue", **request(change)) == ("complete", "")
    gate.wait_for_builds(("unit", change.number))
    gate.worker.release_all()
    gate.wait_for_status("MERGED", change)
    gate.wait_until_idle()
    assert len(gate.reports(change)) == 2


def test_an_enqueued_ref_runs_its_job(gate: Gate, admin: Admin) -> None:
    project = gate.names["alpha"]
    revisions = {"oldrev": gate.gerrit.head(project)}
    revisions["newrev"] = gate.gerrit.push_commit(project, "master", {"new": "x\n"}, "Add new")
    gate.worker.release_all()
    ref = {"trigger": "gerrit", "pipeline": "post", "project": project, "ref": "master", **revisions}
    assert admin.ask("enqueue_ref", **ref) == ("complete", "")
    gate.worker.wait_for(lambda worker: len(worker.history) == 1)
    (build,) = gate.worker.history
    assert (build.job, build.parameters["ZUUL_NEWREV"]) == ("publish", revisions["newrev"])
    gate.wait_until_idle()


def test_what_can_not_be_enqueued_is_said_and_nothing_runs(gate: Gate, admin: Admin) -> None:
    (change,) = stack(gate, None)
    ref: dict[str, Any] = {"pipeline": "post", "project": change.project, "ref": "master", "newrev": change.revision}
    refused = [
        ("enqueue", request(change, project="nothing"), "Invalid project: nothing"),
        ("enqueue", request(change, pipeline="nowhere"), "Invalid pipeline: nowhere"),
        ("enqueue", request(change, trigger="nobody"), "Invalid trigger: nobody"),
        ("enqueue", request(change, change="99999,1"), "Invalid change: 99999,1"),
        ("enqueue_ref", {**ref, "trigger": "gerrit", "project": "nothing"}, "Invalid project: nothing"),
        ("enqueue_ref", {**ref, "trigger": "gerrit", "pipeline": "nowhere"}, "Invalid pipeline: nowhere"),
        ("enqueue_ref", {**ref, "trigger": "nobody"}, "Invalid trigger: nobody"),
    ]
    for function, arguments, words in refused:
        assert admin.ask(function, **arguments) == ("exception", words)
    assert gate.site.items() == []
    assert (gate.worker.builds, gate.worker.history) == ([], [])


@on_both_servers
def test_promoted_changes_go_first_and_keep_the_time_when_they_came(gate: Gate, admin: Admin) -> None:
    a, b, c = stack(gate, None, None, None)
    start(gate, a, b, c)
    before = wait_until(lambda: found if len(found := shown(gate)) == 3 else None, what="three items")
    with Witness(gate) as witness:
        assert admin.ask("promote", pipeline="gate", change_ids=[b.id, c.id]) == ("complete", "")
        gate.wait_for_builds(*chain(b, c, a))
        wait_until(lambda: list(shown(gate)) == [b.id, c.id, a.id], what="the new order on the page")
        assert shown(gate) == before
        gate.worker.release_all()
        gate.wait_for_status("MERGED", a, b, c)
        wait_until(lambda: len(witness.merged) == 3, what="three events")
    gate.wait_until_idle()
    assert witness.merged == [b.number, c.number, a.number]
    assert sorted(ended(gate)) == sorted(chain(b, c, a))
    said = [[text for text in gate.reports(change) if text != "go"] for change in (a, b, c)]
    assert [len(reports) for reports in said] == [2, 2, 2]


def test_what_a_promoted_change_needs_goes_before_it(gate: Gate, admin: Admin) -> None:
    a, b, c = stack(gate, None, None, 1)
    start(gate, a, b, c)
    assert admin.ask("promote", pipeline="gate", change_ids=[c.id]) == ("complete", "")
    gate.wait_for_builds(*chain(b, c, a))
    gate.worker.release_all()
    gate.wait_for_status("MERGED", a, b, c)


def test_what_can_not_be_promoted_is_said_and_the_queue_is_untouched(gate: Gate, admin: Admin) -> None:
    a, b = stack(gate, None, None)
    start(gate, a, b)
    before = gate.worker.builds
    assert admin.ask("promote", pipeline="nowhere", change_ids=[b.id]) == ("exception", "Invalid pipeline: nowhere")
    unknown = "Unable to find shared change queue for 99999,1"
    assert admin.ask("promote", pipeline="gate", change_ids=["99999,1"]) == ("exception", unknown)
    other = "Unable to find 99999,1 in queue "
    ending, words = admin.ask("promote", pipeline="gate", change_ids=[b.id, "99999,1"])
    assert (ending, words.startswith(other)) == ("exception", True)
    wait_until(lambda: list(shown(gate)) == [a.id, b.id], what="the page")
    assert gate.worker.builds == before


@on_both_servers
def test_running_jobs_are_told_with_all_that_is_known_of_them(gate: Gate, admin: Admin) -> None:
    assert admin.ask("get_running_jobs") == ("complete", "[]")
    (change,) = stack(gate, None)
    assert admin.ask("enqueue", **request(change, "check")) == ("complete", "")
    gate.wait_for_builds(("unit", change.number), ("style", change.number))

    def told() -> dict[str, Any] | None:
        (item,) = json.loads(admin.ask("get_running_jobs")[1])
        found: dict[str, Any] = item
        return found if [job["number"] for job in item["jobs"]] == [1, None, 1] else None

    item = wait_until(told, what="two jobs that have begun")
    url = next(row["url"] for row in gate.site.items("check"))
    facts = ("id", "project", "url", "live", "remaining_time", "items_behind", "failing_reasons", "item_ahead")
    assert {name: item[name] for name in facts} == {
        "id": change.id, "project": change.project, "url": url, "live": True, "remaining_time": None,
        "items_behind": [], "failing_reasons": [], "item_ahead": None,
    }  # fmt: skip
    assert url.endswith(f"/{change.number}")
    unit, docs, style = item["jobs"]
    assert [job["name"] for job in item["jobs"]] == ["unit", "docs", "style"]
    assert (unit["url"], unit["result"], unit["node_labels"]) == ("http://w1.example.net/job/unit/1/", None, [])
    assert unit["worker"] == {
        "name": "w1", "hostname": "w1.example.net", "ips": ["127.0.0.1"], "fqdn": "w1.example.net",
        "program": "zuul_launcher.sim.worker", "version": "1", "extra": {},
    }  # fmt: skip
    assert set(style["worker"]) == WORKER_KEYS
    assert (docs["uuid"], docs["worker"], docs["result"]) == (None, None, None)

    gate.worker.release_all()
    gate.wait_until_idle()
    assert admin.ask("get_running_jobs") == ("complete", "[]")
