"""kill -9 of a scheduler that is in the middle of something: at the next start nothing is lost, or said twice.

With our own Gearman server each build runs once; on gearmand it may run again, and is reported once.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import kill
from support.system import Gate, prepared_gate, running_gate, what_landed_was_tested
from support.waiting import wait_until

from zuul_launcher.sim.gerrit.site import Pushed
from zuul_launcher.sim.gerrit.stand_in import SimGerrit
from zuul_launcher.sim.worker import GitJob, SimWorker, succeed

SERVERS = ["ours", pytest.param("gearmand", marks=pytest.mark.gearmand)]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def gate(server: str, stand_in: SimGerrit, tmp_path: Path) -> Iterator[Gate]:
    with kill.gearman_server(server) as port, running_gate(tmp_path, stand_in, gearman_port=port) as found:
        yield found


@contextmanager
def gate_with_one_executor(folder: Path, gerrit: SimGerrit, port: int) -> Iterator[Gate]:
    with prepared_gate(folder, gerrit, gearman_port=port) as gate:
        gate.site.start()
        decide = GitJob(folder / "trees")
        with SimWorker("127.0.0.1", port, "w1", ["unit"], decide=decide, executors=1) as gate.worker:
            gate.worker.hold()
            gate.wait_until_ready()
            yield gate


def all_went_well(gate: Gate, server: str, folder: Path, *changes: Pushed) -> None:
    gate.wait_for_status("MERGED", *changes)
    gate.wait_until_idle()
    for change in changes:
        said = gate.reports(change)
        assert [text.splitlines()[0] for text in said] == ["Starting gate jobs.", "Build succeeded."], said
        assert what_landed_was_tested(gate, change, folder)
        assert kill.runs(gate, change) == 1 or server == "gearmand"
    if server == "ours":
        kill.every_build_ran_once(gate)
    kill.nothing_is_left_over(gate)
    assert "Traceback" not in gate.log()


def test_while_a_merge_is_asked_for(gate: Gate, server: str, tmp_path: Path) -> None:
    gate.site.tell("merger", signal.SIGSTOP)
    change = gate.propose("alpha", "new")
    wait_until(lambda: kill.jobs_of(gate.site.gearman_port, "merger:merge")[0] == 1, what="the merge")
    gate.site.kill("scheduler")
    gate.site.tell("merger", signal.SIGCONT)
    gate.site.start_scheduler()
    gate.worker.release_all()
    all_went_well(gate, server, tmp_path, change)


def test_while_a_build_was_submitted_and_no_handle_came(server: str, stand_in: SimGerrit, tmp_path: Path) -> None:
    with kill.gearman_server(server) as port:
        proxy = kill.SilentProxy(port, b"build:unit")
        try:
            with running_gate(tmp_path, stand_in, gearman_port=proxy.port) as gate:
                proxy.armed = True
                change = gate.propose("alpha", "new")
                assert proxy.silent.wait(60)
                wait_until(lambda: kill.jobs_of(port, "build:unit")[0] == 1, what="the job at the server")
                with kill.stored(gate) as engine:
                    assert kill.open_handles(engine) == [None]
                gate.site.kill("scheduler")
                proxy.armed = False
                gate.site.start_scheduler()
                gate.worker.release_all()
                all_went_well(gate, server, tmp_path, change)
        finally:
            proxy.close()


def test_while_a_build_is_queued(server: str, stand_in: SimGerrit, tmp_path: Path) -> None:
    with kill.gearman_server(server) as port, gate_with_one_executor(tmp_path, stand_in, port) as gate:
        first = gate.propose("alpha", "new")
        gate.wait_for_builds(("unit", first.number))
        second = gate.propose("beta", "new")
        with kill.stored(gate) as engine:
            wait_until(lambda: len(found := kill.open_handles(engine)) == 2 and all(found), what="two handles stored")
        assert kill.jobs_of(port, "build:unit") == (2, 1)
        gate.site.kill("scheduler")
        gate.site.start_scheduler()
        gate.worker.release_all()
        all_went_well(gate, server, tmp_path, first, second)
        assert kill.runs(gate, first) == kill.runs(gate, second) == 1, "what was queued had not begun, on gearmand too"


def test_while_a_build_runs(gate: Gate, server: str, tmp_path: Path) -> None:
    change = gate.propose("alpha", "new")
    with kill.stored(gate) as engine:
        wait_until(lambda: kill.open_numbers(engine) == [1], what="the number of the build stored")
    gate.site.kill("scheduler")
    gate.site.start_scheduler()
    gate.worker.release_all()
    all_went_well(gate, server, tmp_path, change)
    assert kill.runs(gate, change) == 1, "a running build can be joined, on gearmand too"


def test_while_a_build_runs_that_ends_before_the_next_start(server: str, stand_in: SimGerrit, tmp_path: Path) -> None:
    """The build fetches nothing: what it would fetch is served by the page of the scheduler, which is down."""
    with (
        kill.gearman_server(server) as port,
        running_gate(tmp_path, stand_in, gearman_port=port, decide=succeed) as gate,
    ):
        change = gate.propose("alpha", "new")
        with kill.stored(gate) as engine:
            wait_until(lambda: kill.open_numbers(engine) == [1], what="the number of the build stored")
        gate.site.kill("scheduler")
        gate.worker.release_all()
        gate.worker.wait_for(lambda worker: len(worker.history) == 1)
        gate.site.start_scheduler()
        all_went_well(gate, server, tmp_path, change)


def test_when_gerrit_took_the_submit_and_it_was_not_noted(
    gate: Gate, server: str, stand_in: SimGerrit, tmp_path: Path
) -> None:
    change = gate.propose("alpha", "new")
    gate.wait_for_builds(("unit", change.number))
    gate.wait_for_reports(change, 1)
    stand_in.faults.lose_answer_after_review = True
    gate.worker.release_all()
    gate.wait_for_status("MERGED", change)
    stand_in.faults.answering.clear()  # another try gets no answer either
    gate.site.kill("scheduler")
    stand_in.faults.answering.set()
    gate.site.start_scheduler()
    all_went_well(gate, server, tmp_path, change)
