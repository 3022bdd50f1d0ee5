"""A manager as it is run, driven by a scheduler's side that is written with nothing but `gear`."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gearman_wire import Place
from support.queue_world import expected
from support.waiting import wait_until
from support.worker_site import GearScheduler, WorkerSite

JOBS = """\
jobs:
  - name: unit
    steps: [{shell: 'echo "change $ZUUL_CHANGE"'}]
  - name: fail
    steps: [{shell: exit 3}]
  - name: long
    steps: [{shell: 'echo begun; sleep 600'}]
    publish: [{script: {steps: [{shell: 'echo published'}]}}]
  - name: alone
    concurrent: false
    steps: [{shell: 'echo "in $WORKSPACE"; sleep 600'}]
"""


@pytest.fixture
def site(server: Place, tmp_path: Path) -> Iterator[WorkerSite]:
    with WorkerSite(tmp_path / "builder", server.port, JOBS, options="executors = 2") as site:
        yield site


@pytest.fixture
def scheduler(server: Place, site: WorkerSite) -> Iterator[GearScheduler]:
    with GearScheduler(server.port) as scheduler:
        yield scheduler


def test_builds_run_are_told_of_and_shown(site: WorkerSite, scheduler: GearScheduler) -> None:
    build = scheduler.build("unit", ZUUL_CHANGE=4711)
    assert scheduler.wait_ended(build) == "SUCCESS"
    first, last = build.said[0], build.said[-1]
    assert (first["name"], first["manager"], first["url"]) == (
        "unit",
        "builder",
        f"http://127.0.0.1:{site.port}/job/unit/1/",
    )
    assert "result" not in first
    assert last["node_labels"] == ["built-in"]
    assert "change 4711" in site.console("unit", first["number"])
    assert scheduler.wait_ended(scheduler.build("fail")) == "FAILURE"
    shown = json.loads(site.run("builds", "--format", "json").stdout)
    assert [(one["job"], one["result"]) for one in shown] == [("fail", "FAILURE"), ("unit", "SUCCESS")]


def refused(server: Place) -> str:
    """How a client that did not ask for the texts of exceptions sees one."""
    return "exception" if expected(server, "an exception reaches a client that did not ask for them") else "failed"


def test_builds_are_stopped_in_each_state(server: Place, site: WorkerSite, scheduler: GearScheduler) -> None:
    """D47, D48, D49, D52, D55 on a manager as it is run."""
    running, waiting = scheduler.build("alone"), scheduler.build("alone")
    for build in (running, waiting):
        scheduler.wait_started(build)
    queued = scheduler.build("unit")
    assert scheduler.cancel(queued)

    first, second = sorted((running, waiting), key=lambda build: build.said[0]["number"])
    holder = first if "in /" in site.console("alone", 1) else second
    other = second if holder is first else first
    assert scheduler.stop(other) == "complete"
    assert scheduler.wait_ended(other) == "ABORTED"
    assert scheduler.stop(holder) == "complete"
    assert scheduler.wait_ended(holder) == "ABORTED"
    assert scheduler.stop(holder) == "failed"
    assert scheduler.ask("stop:builder", name="alone", number="99") == refused(server)
    assert queued.data == []
    assert scheduler.wait_ended(scheduler.build("unit")) == "SUCCESS"


def test_a_description_is_kept_over_a_restart(server: Place, site: WorkerSite, scheduler: GearScheduler) -> None:
    """D56."""
    build = scheduler.build("unit")
    scheduler.wait_ended(build)
    assert scheduler.describe(build, "by <b>hand</b>") == "complete"
    assert site.terminate() == 0
    site.start()
    assert site.get("job/unit/1/api/json")["description"] == "by <b>hand</b>"
    assert scheduler.ask("set_description:builder", name="unit", number=2, html_description="x") == refused(server)


def test_a_node_goes_offline_when_it_was_asked_to_and_stays_so(site: WorkerSite, scheduler: GearScheduler) -> None:
    """D58, D60, D61, D63: the client hears the result, nothing else begins, a person brings the node back."""
    build = scheduler.build("fail", OFFLINE_NODE_WHEN_COMPLETE="1")
    scheduler.wait_started(build)  # until then the other executor may take what comes
    waiting = scheduler.build("unit")
    assert scheduler.wait_ended(build) == "FAILURE"
    assert not waiting.data
    assert [(one["state"], one["busy"]) for one in site.get("api/nodes")] == [("offline", 0)]
    assert site.terminate() == 0
    site.start(wait=False)
    wait_until(lambda: "the manager takes" in site.run("unpause").stdout, what="the manager")
    assert [one["state"] for one in json.loads(site.run("nodes", "--format", "json").stdout)] == ["offline"]
    assert not waiting.data
    assert site.run("node", "online", "built-in").returncode == 0
    assert scheduler.wait_ended(waiting) == "SUCCESS"


def test_a_manager_that_is_told_to_leave_delivers_what_runs(site: WorkerSite, scheduler: GearScheduler) -> None:
    """D77."""
    site.write_jobs(JOBS.replace("sleep 600", f"while [ ! -e {site.folder}/go ]; do sleep 0.1; done", 1))
    assert site.run("reload").returncode == 0
    build = scheduler.build("long")
    scheduler.wait_started(build)
    site.tell(signal.SIGUSR1)
    wait_until(lambda: "build:unit" not in _offers(site), what="the end of its functions")
    later = scheduler.build("unit")
    (site.folder / "go").touch()
    assert scheduler.wait_ended(build) == "SUCCESS"
    assert site.wait_for_end() == 0
    assert not later.data
    site.start()
    assert scheduler.wait_ended(later) == "SUCCESS"


def _offers(site: WorkerSite) -> list[str]:
    return [name for names in site.get("api/functions").values() for name in names if name.startswith("build:")]


def test_a_manager_that_is_stopped_lets_its_builds_run_elsewhere(site: WorkerSite, scheduler: GearScheduler) -> None:
    """D78: no result, all processes gone."""
    build = scheduler.build("long")
    scheduler.wait_started(build)
    wait_until(lambda: "begun" in site.console("long", 1), what="its step")
    assert site.terminate() == 0
    assert scheduler.wait_ended(build) == "null"
    site.start()


def test_numbers_go_on_after_a_kill_and_the_build_that_ran_is_ended(site: WorkerSite, scheduler: GearScheduler) -> None:
    """D44, D86."""
    build = scheduler.build("alone")
    scheduler.wait_started(build)
    wait_until(lambda: "in /" in site.console("alone", 1), what="its step")
    site.kill()
    site.start()
    if build.complete:  # gearmand hands the build out again under the same id, ours tells its client
        build = scheduler.build("alone")
    wait_until(lambda: len(build.said) and build.said[-1]["number"] == 2, what="the second build")
    wait_until(lambda: "in /" in site.console("alone", 2), what="its workspace")
    first, second = (re.findall("^in .*", site.console("alone", number), re.MULTILINE) for number in (1, 2))
    assert first == second  # no build has a workspace beside it
    assert site.get("job/alone/1/api/json")["result"] is None
    assert scheduler.ask("stop:builder", name="alone", number=2) == "complete"
    assert scheduler.wait_ended(build) == "ABORTED"


def test_a_broken_file_changes_nothing_at_a_reload(site: WorkerSite, scheduler: GearScheduler) -> None:
    """D79."""
    site.write_jobs("jobs: [")
    answer = site.run("reload")
    assert answer.returncode != 0
    assert "jobs.yaml:2:1:" in answer.stderr
    site.tell(signal.SIGHUP)
    wait_until(lambda: "nothing was changed" in site.log(), what="the refusal in the log")
    assert scheduler.wait_ended(scheduler.build("unit")) == "SUCCESS"
    site.write_jobs(JOBS.replace("name: unit", "name: other"))
    assert site.run("reload").returncode == 0
    assert scheduler.wait_ended(scheduler.build("other")) == "SUCCESS"


def test_a_second_manager_of_the_same_name_is_refused(site: WorkerSite, server: Place, tmp_path: Path) -> None:
    """D20."""
    second = WorkerSite(tmp_path / "second", server.port, JOBS)
    second.start(wait=False)
    assert second.wait_for_end() == 2
    assert "another manager is called 'builder'" in second.log()
    second.start("--takeover")
    assert second.terminate() == 0


def test_a_build_by_hand_shows_its_console_with_and_without_a_manager(site: WorkerSite) -> None:
    answer = site.run("run", "unit", "-p", "ZUUL_CHANGE=77")
    assert answer.returncode == 0
    assert "change 77" in answer.stdout
    assert site.run("run", "fail").returncode == 1
    assert "there is no job 'nosuch'" in site.run("run", "nosuch").stderr
    assert site.terminate() == 0
    answer = site.run("run", "unit", "-p", "ZUUL_CHANGE=78")
    assert "change 78" in answer.stdout, answer.stderr
    site.start()
