"""What is wrong is said, waited for and got over: files of the site, parts that are away, workers, its own leaving."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.gearman_wire import Place, Wire
from support.postgresql import Cluster
from support.system import GATE, ONE_JOB, prepared_gate, running_gate, seen
from support.waiting import free_port, wait_until

from zuul_launcher.gearman.server.packets import Command
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

WRONG = """\
pipelines:
  - name: gate
    manager: NoSuchManager
    trigger:
      gerrit:
        - event: comment-aded
projects:
  - name: $alpha
    gaet: [unit]
"""


def test_a_wrong_layout_ends_the_start_with_all_mistakes(stand_in: SimGerrit, tmp_path: Path) -> None:
    with prepared_gate(tmp_path, stand_in) as gate:
        path = gate.write_layout(WRONG)
        code, _, said = gate.admin("scheduler", "--without-gearman")
        assert code == 2
        lines = said.removeprefix("Error: ").splitlines()
        assert [line.split(" ")[0] for line in lines] == [f"{path}:3:14:", f"{path}:6:18:", f"{path}:9:5:"]
        assert "one of DependentPipelineManager, IndependentPipelineManager" in lines[0]
        assert "comment-added" in lines[1]  # what was meant
        assert "gaet" in lines[2]


def test_a_wrong_zuul_conf_ends_the_start_with_all_mistakes(stand_in: SimGerrit, tmp_path: Path) -> None:
    with prepared_gate(tmp_path, stand_in) as gate:
        config = gate.site.config
        config.write_text(config.read_text().replace("driver = gerrit", "driver = gerit").replace("port =", "port = x"))
        code, _, said = gate.admin("scheduler", "--without-gearman")
        assert code == 2
        lines = said.removeprefix("Error: ").splitlines()
        assert len(lines) >= 4
        assert all(line.startswith(f"{config}:") for line in lines)
        assert any("gerit" in line for line in lines)


def test_a_wrong_layout_at_a_reload_is_refused_and_builds_go_on(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in, jobs=("unit", "docs")) as gate:
        change = gate.propose("alpha", "new")
        gate.wait_for_builds(("unit", change.number))

        path = gate.write_layout(WRONG)
        gate.site.tell("scheduler", signal.SIGHUP)
        errors = gate.wait_for_errors(*(f"layout: {path}:{place}: " for place in ("3:14", "6:18", "9:5")))
        for error in errors:
            gate.wait_for_log(f"the new layout is refused, the old one stays: {error.removeprefix('layout: ')}\n")
        other = gate.propose("beta", "new")
        first, second = ("unit", change.number), ("unit", change.number, other.number)
        gate.wait_for_builds(first, second)

        gate.write_layout(GATE + ONE_JOB.replace("[unit]", "[unit, docs]", 1))
        gate.site.tell("scheduler", signal.SIGHUP)
        gate.wait_until_ready()
        gate.wait_for_builds(first, second, ("docs", change.number))
        gate.worker.release_all()
        gate.wait_for_status("MERGED", change, other)
        assert sorted(map(seen, gate.worker.history)) == sorted([first, second, ("docs", change.number)])


def test_a_start_with_a_wrong_layout_goes_on_with_the_last_good_one(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in) as gate:
        first = gate.propose("alpha", "new")
        gate.wait_for_builds(("unit", first.number))
        assert gate.site.terminate("scheduler") == 0
        path = gate.write_layout(WRONG)
        gate.site.start_scheduler(wait=False)
        errors = gate.wait_for_errors(*(f"layout: {path}:{place}: " for place in ("3:14", "6:18", "9:5")))
        for error in errors:
            gate.wait_for_log(f"the new layout is refused, the old one stays: {error.removeprefix('layout: ')}\n")
        second = gate.propose("beta", "new")
        gate.wait_for_builds(("unit", first.number), ("unit", first.number, second.number))

        assert gate.site.terminate("scheduler") == 0
        gate.write_layout(GATE + ONE_JOB)
        gate.site.start_scheduler()
        gate.wait_until_ready()
        assert gate.errors() == []
        gate.worker.release_all()
        gate.wait_for_status("MERGED", first, second)
        assert len(gate.worker.history) == 2


@pytest.mark.postgresql
def test_everything_may_be_away_at_the_start(postgresql: Cluster, tmp_path: Path) -> None:
    gerrit = SimGerrit(tmp_path / "gerrit", port=free_port())
    dburi = postgresql.new_database()
    with prepared_gate(tmp_path, gerrit, dburi=dburi) as gate:
        postgresql.stop()
        gate.site.start_merger()
        gate.site.start_scheduler(wait=False)
        gate.wait_for_log("waiting for it")
        postgresql.start()
        gate.wait_for_errors("no connection to Gearman server ", "no events from Gerrit gerrit: ")
        gate.site.start_gearman()
        gate.wait_for_errors("no events from Gerrit gerrit: ")
        with gerrit, gate.working():
            gate.wait_until_ready()
            change = gate.propose("alpha", "new")
            gate.worker.release_all()
            gate.wait_for_status("MERGED", change)
            gate.wait_until_idle()
        gate.wait_for_log("Gerrit gerrit: lost: ", times=2)  # before it came, and when it left
        log = gate.log()
    assert log.count("waiting for it") == 1
    assert log.count("no Gearman server at") == 2  # the launcher's connection, and the listener's


def test_a_gearman_server_that_dies_costs_a_run_and_nothing_else(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in) as gate:
        change = gate.propose("alpha", "new")
        gate.wait_for_builds(("unit", change.number))
        gate.site.kill("gearman")
        gate.wait_for_errors("no connection to Gearman server ")
        gate.worker.release_all()  # its result has nowhere to go
        gate.worker.wait_for(lambda worker: not worker.builds)
        gate.site.start_gearman()
        gate.wait_for_status("MERGED", change)
        gate.wait_until_idle()
        assert len(gate.reports(change)) == 2
        assert seen(gate.worker.history[-1]) == ("unit", change.number)


def test_what_happens_while_the_event_stream_is_down_is_caught_up(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in) as gate:
        stand_in.faults.refuse_logins = True
        assert stand_in.drop_streams() == 1
        gate.wait_for_errors("no events from Gerrit gerrit: ")
        change = gate.propose("alpha", "new")
        stand_in.faults.refuse_logins = False
        gate.wait_for_builds(("unit", change.number))
        gate.worker.release_all()
        gate.wait_for_status("MERGED", change)
        gate.wait_until_idle()
        assert len(gate.reports(change)) == 2


@pytest.mark.postgresql
def test_a_database_that_leaves_and_returns_loses_nothing(
    stand_in: SimGerrit, postgresql: Cluster, tmp_path: Path
) -> None:
    with running_gate(tmp_path, stand_in, dburi=postgresql.new_database()) as gate:
        first = gate.propose("alpha", "new")
        gate.wait_for_builds(("unit", first.number))

        postgresql.stop()
        second = gate.propose("beta", "new")
        gate.wait_for_log("events wait")
        postgresql.start()
        gate.wait_for_builds(("unit", first.number), ("unit", first.number, second.number))

        postgresql.stop()
        gate.release(first)
        gate.wait_for_log("waiting for it")
        postgresql.start()
        gate.wait_for_status("MERGED", first)
        gate.worker.release_all()
        gate.wait_for_status("MERGED", second)
        gate.wait_until_idle()
        assert [seen(build) for build in gate.worker.history] == [
            ("unit", first.number),
            ("unit", first.number, second.number),
        ]
        assert [len(gate.reports(change)) for change in (first, second)] == [2, 2]


def test_an_event_that_cannot_be_read_is_skipped(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in) as gate:
        nonsense = (
            "this is no JSON",
            "[]",
            '{"type":""}',
            '{"type":"comment-added","change":{"number":[]}}',
            "\x00\xff",
        )
        for line in nonsense:
            stand_in.say(line)
        change = gate.propose("alpha", "new")
        gate.wait_for_builds(("unit", change.number))
        assert gate.log().count("an event could not be read") == len(nonsense)
        assert gate.errors() == []


def test_an_event_that_gerrit_refuses_to_explain_is_put_aside_and_shown(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in) as gate:
        stand_in.faults.refuse_queries = 4
        change = gate.push("alpha", {"new": "x\n"})
        error = "1 events could not be worked on and were put aside: see the log"
        gate.wait_for_errors(error)
        gate.wait_for_log(f"patchset-created of {change.number} is put aside: ")
        gate.approve(change)
        gate.wait_for_builds(("unit", change.number))
        assert gate.site.terminate("scheduler") == 0
        gate.site.start_scheduler(wait=False)
        gate.wait_for_errors(error)
        gate.worker.release_all()
        gate.wait_for_status("MERGED", change)


def test_an_action_that_nobody_can_do_costs_its_item_and_is_shown(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in, mergers=0) as gate:
        change = gate.propose("alpha", "new")
        gate.wait_for_reports(change, 1)
        assert gate.site.terminate("scheduler") == 0
        with closing(sqlite3.connect(gate.site.folder / "state" / "zuul.sqlite")) as database, database:
            done = database.execute("UPDATE outbox SET payload = x'ff' WHERE kind = 'Merge' AND status = 'todo'")
            assert done.rowcount == 1
        gate.site.start_merger()
        gate.site.start_scheduler(wait=False)
        gate.wait_for_errors("1 actions could not be done and were given up: see the log")
        assert "the gate made a mistake with this change" in gate.wait_for_reports(change, 2)[1]
        gate.worker.release_all()
        good = gate.propose("beta", "new")
        gate.wait_for_status("MERGED", good)


def test_a_worker_that_sends_nonsense_fails_its_build(stand_in: SimGerrit, tmp_path: Path) -> None:
    layout = GATE + ONE_JOB.replace("[unit]", "[unit, odd, nobody]", 1)
    with running_gate(tmp_path, stand_in, layout) as gate:
        place = Place("site", gate.site.gearman_port)
        odd = place.worker(b"build:odd")
        gate.worker.release_all()
        change = gate.propose("alpha", "new")
        for _ in range(3):  # as many times as a job is tried
            run_with_nonsense(odd)
        _, result = gate.wait_for_reports(change, 2)
        place.close()
        assert result.splitlines() == [
            "Build failed.",
            "",
            "- http://w1.example.net/job/unit/1/ : SUCCESS in 0s",
            "- odd : RETRY_LIMIT",
            "- nobody : NOT_REGISTERED",
        ]
        reason = "of odd ended with result None: the worker sent data that is not JSON"
        assert gate.log().count(reason) == 3
        good = gate.propose("beta", "new")
        gate.wait_for_status("MERGED", good)


def run_with_nonsense(worker: Wire) -> None:
    """Take the next build and tell of it in no words that anybody knows."""
    worker.send(Command.PRE_SLEEP)
    worker.expect(Command.NOOP)
    handle = worker.grab()
    assert handle is not None
    worker.send(Command.WORK_DATA, handle, b"\xff\xfe{[")
    worker.send(Command.WORK_STATUS, handle, b"many", b"")
    worker.send(Command.WORK_COMPLETE, handle, b'{"result": ')


def test_parameter_functions_choose_the_node_and_may_raise(stand_in: SimGerrit, tmp_path: Path) -> None:
    layout = """\
includes:
  - python-file: functions.py
jobs:
  - name: unit
    parameter-function: choose_node
  - name: docs
    parameter-function: raise_it
"""
    functions = """\
def choose_node(item, job, params):
    params["ZUUL_NODE"] = "big"
    params["SEEN"] = f"{job.name} {item.change.number} {item.pipeline.name}"


def raise_it(item, job, params):
    raise LookupError("no such thing")
"""
    layout += GATE + ONE_JOB.replace("[unit]", "[unit, docs]", 1)
    with running_gate(tmp_path, stand_in, layout, jobs=("unit:big", "docs"), files={"functions.py": functions}) as gate:
        gate.worker.release_all()
        change = gate.propose("alpha", "new")
        assert gate.wait_for_reports(change, 2)[1].splitlines() == [
            "Build failed.",
            "",
            "- http://w1.example.net/job/unit/1/ : SUCCESS in 0s",
            "- docs : EXCEPTION",
        ]
        (build,) = gate.worker.history
        assert build.parameters["SEEN"] == f"unit {change.number} gate"
        assert build.parameters["ZUUL_NODE"] == "big"
        good = gate.propose("beta", "new")
        gate.wait_for_status("MERGED", good)
        assert f"LookupError: no such thing ({gate.site.folder}/functions.py:7)" in gate.log()


def test_builds_go_on_while_the_scheduler_is_stopped_and_started(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in) as gate:
        first = gate.propose("alpha", "new")
        gate.wait_for_builds(("unit", first.number))
        assert gate.site.terminate("scheduler") == 0
        gate.wait_for_builds(("unit", first.number))
        second = gate.propose("beta", "new")
        gate.site.start_scheduler()
        gate.wait_for_builds(("unit", first.number), ("unit", first.number, second.number))
        gate.worker.release_all()
        gate.wait_for_status("MERGED", first, second)
        gate.wait_until_idle()
        assert sorted((*seen(build), build.result) for build in gate.worker.history) == sorted(
            [("unit", first.number, "SUCCESS"), ("unit", first.number, second.number, "SUCCESS")]
        )
        assert [len(gate.reports(change)) for change in (first, second)] == [2, 2]
    assert gate.complaints() == []


def test_a_scheduler_that_is_told_to_leave_waits_for_running_builds(stand_in: SimGerrit, tmp_path: Path) -> None:
    with running_gate(tmp_path, stand_in) as gate:
        first = gate.propose("alpha", "new")
        gate.wait_for_builds(("unit", first.number))
        gate.site.tell("scheduler", signal.SIGUSR1)
        second = gate.propose("beta", "new")
        # two: that it was pushed, and that it was approved
        text = "<p><b>Queue only mode:</b> preparing to exit, queue length: 2</p>"
        wait_until(lambda: (gate.site.status() or {}).get("message") == text, what="the page to say so")
        gate.wait_for_builds(("unit", first.number))
        gate.release(first)
        assert gate.site.wait_for_end("scheduler") == 0
        gate.site.start_scheduler()
        gate.wait_for_status("MERGED", first)
        gate.worker.wait_for(lambda worker: len(worker.builds) == 1)
        gate.worker.release_all()
        gate.wait_for_status("MERGED", second)
        assert [build.result for build in gate.worker.history] == ["SUCCESS", "SUCCESS"]
    assert gate.complaints() == []
