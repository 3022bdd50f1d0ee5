"""`gear call`, `gear status` and `gear ping`, as typed, against our server and the one of the gear library."""

import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import gear as gear_library
import pytest
from click.testing import CliRunner, Result
from support.gearman_wire import Place, c_gearmand
from support.waiting import wait_until

from zuul_launcher.cli.gear import gear, gearman
from zuul_launcher.gearman.server.packets import Command


def typed(port: int, *arguments: str) -> Result:
    return CliRunner().invoke(gear, [*arguments, "--server", "127.0.0.1", "--port", str(port)])


def answering(place: Place, *packets: tuple[Command, bytes]) -> threading.Thread:
    """A worker of the function `f` that answers one job with these packets; {handle} goes in front."""
    worker = place.worker(b"f")

    def work() -> None:
        worker.send(Command.PRE_SLEEP)
        worker.expect(Command.NOOP)
        handle = worker.grab()
        assert handle is not None
        for command, data in packets:
            worker.send(command, handle, data)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_call_prints_data_status_and_result_as_they_come(ours: Place) -> None:
    thread = answering(
        ours,
        (Command.WORK_DATA, b'{"number": 1}'),
        (Command.WORK_STATUS, b"1\x002"),
        (Command.WORK_WARNING, b"careful \x1b[2J"),
        (Command.WORK_COMPLETE, b"done"),
    )
    result = typed(ours.port, "call", "f")
    thread.join()
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].startswith("created   H:")
    assert lines[1:] == [
        'data      {"number": 1}',
        "status    1/2",
        "warning   careful �[2J",
        "complete  done",
    ]


def test_call_prints_one_json_object_a_line_and_sends_what_it_was_given(ours: Place) -> None:
    worker = ours.worker(b"f")
    payloads: list[list[bytes]] = []

    def work() -> None:
        worker.send(Command.PRE_SLEEP)
        worker.expect(Command.NOOP)
        worker.send(Command.GRAB_JOB_UNIQ)
        payloads.append(worker.expect(Command.JOB_ASSIGN_UNIQ))
        worker.send(Command.WORK_COMPLETE, payloads[0][0], b"\xff")

    thread = threading.Thread(target=work)
    thread.start()
    result = typed(ours.port, "call", "f", "--params", '{"a": 1}', "--unique", "u", "--format", "json")
    thread.join()
    handle = payloads[0][0]
    assert payloads == [[handle, b"f", b"u", b'{"a": 1}']]
    assert [json.loads(line) for line in result.output.splitlines()] == [
        {"event": "created", "data": handle.decode()},
        {"event": "complete", "data": "�"},
    ]


@pytest.mark.parametrize(("end", "shown"), [(Command.WORK_FAIL, "fail"), (Command.WORK_EXCEPTION, "exception why")])
def test_call_exits_with_one_if_the_job_fails(ours: Place, end: Command, shown: str) -> None:
    thread = answering(ours, (end, b"why"))
    result = typed(ours.port, "call", "f")
    thread.join()
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].strip() == shown


def test_call_in_the_background_ends_when_the_job_is_queued_with_its_priority(ours: Place) -> None:
    result = typed(ours.port, "call", "f", "--background", "--priority", "high")
    assert result.exit_code == 0
    assert ours.connect().ask_list("prioritystatus") == ["f\t1\t0\t0\t0"]


def test_call_says_so_if_the_job_does_not_end_in_time_and_takes_it_back(ours: Place) -> None:
    result = typed(ours.port, "call", "f", "--timeout", "0.3")
    assert result.exit_code == 1
    assert "did not answer in time" in result.output
    watcher = ours.connect()
    wait_until(lambda: watcher.ask_list("status") == [])


def test_call_says_so_if_the_server_refuses_the_job(ours: Place) -> None:
    result = typed(ours.port, "call", "")
    assert result.exit_code == 1
    assert "did not take the job" in result.output


def test_params_that_are_no_json_are_a_usage_error(ours: Place) -> None:
    result = typed(ours.port, "call", "f", "--params", "{'a': 1}")
    assert result.exit_code == 2
    assert "--params" in result.output
    assert "no JSON" in result.output


@pytest.mark.parametrize("command", ["ping", "status", "call f"])
def test_a_server_that_is_not_there_is_named(command: str) -> None:
    result = typed(1, *command.split())
    assert result.exit_code == 1
    assert "no connection to 127.0.0.1 port 1" in result.output


def test_server_and_port_come_from_the_settings_if_they_are_not_given(ours: Place) -> None:
    settings = SimpleNamespace(gearman=SimpleNamespace(server="127.0.0.1", port=ours.port))
    assert CliRunner().invoke(gear, ["ping"], obj=settings).exit_code == 0


def test_status_shows_functions_workers_and_jobs(ours: Place) -> None:
    worker, client = ours.worker(b"build:a", b"build:b"), ours.connect()
    worker.send(Command.SET_CLIENT_ID, b"node-1")
    handle = client.submit(b"build:[red]a").decode()
    worker.echo()
    shown = typed(ours.port, "status").output
    for part in ("build:a", "build:b", "build:[red]a", "node-1", handle):
        assert part in shown
    found = json.loads(typed(ours.port, "status", "--format", "json").output)
    assert found["version"].startswith("zuul-launcher ")
    assert found["functions"][0] == {"name": "build:[red]a", "total": 1, "running": 0, "workers": 0}
    assert found["connections"][0]["functions"] == ["build:a", "build:b"]
    assert found["jobs"] == [{"handle": handle, "function": "build:[red]a", "unique": "", "running": False}]


def test_status_tells_function_and_unique_id_of_each_job(ours: Place) -> None:
    client, worker = ours.connect(), ours.worker(b"build:a")
    running = client.submit(b"build:a", b"7c1e\x1b2\t3")
    assert worker.grab() == running
    queued = client.submit(b"build:b", b"9d")
    lines = typed(ours.port, "status").output.splitlines()
    rows = {cells[0]: cells[1:] for line in lines if len(cells := line.strip("│").replace("│", " ").split()) == 4}
    assert rows[running.decode()] == ["build:a", "7c1e?2?3", "running"]
    assert rows[queued.decode()] == ["build:b", "9d", "queued"]


@pytest.mark.gearmand
def test_status_of_gearmand_lists_handles_and_unique_ids_apart() -> None:
    with c_gearmand() as place:
        handle = place.connect().submit(b"f", b"9d").decode()
        found = json.loads(typed(place.port, "status", "--format", "json").output)
        assert found["jobs"] == [{"handle": handle, "function": None, "unique": None, "running": None}]
        assert found["uniques"] == ["9d"]
        shown = typed(place.port, "status").output
    assert handle in shown
    assert "9d" in shown


def test_call_says_at_once_if_no_worker_offers_the_function(ours: Place) -> None:
    said = "no worker offers f now: the job waits for one\n"
    result = typed(ours.port, "call", "f", "--background")
    assert (result.exit_code, result.stderr) == (0, said)
    worker = ours.worker(b"f")
    assert typed(ours.port, "call", "f", "--background").stderr == ""
    worker.echo()


def test_ping_tells_the_round_trip_and_the_version(ours: Place) -> None:
    found = json.loads(typed(ours.port, "ping", "--format", "json").output)
    assert found["seconds"] > 0
    assert found["version"].startswith("zuul-launcher ")
    assert "zuul-launcher" in typed(ours.port, "ping").output


# gear uses names that Python has deprecated.
@pytest.fixture
def plain_server() -> Iterator[int]:
    """The server of the gear library, which answers neither ECHO nor `version` nor `show jobs`."""
    server = gear_library.Server(0, host="127.0.0.1")
    yield server.port
    server.shutdown()


@pytest.mark.filterwarnings("ignore:.*notifyAll:DeprecationWarning")
def test_ping_and_status_do_with_a_server_that_answers_little(plain_server: int) -> None:
    assert json.loads(typed(plain_server, "ping", "--format", "json").output)["version"] == ""
    assert "does not list them" in typed(plain_server, "status").output


def test_the_server_command_names_an_address_that_it_cannot_use(ours: Place) -> None:
    result = CliRunner().invoke(gearman, ["--listen", "127.0.0.1", "--port", str(ours.port)])
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1 port {ours.port}: Address already in use" in result.output
