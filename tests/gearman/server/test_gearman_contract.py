"""One body over our server and C gearmand. Where they may differ stands in DIFFERENCES, and nowhere else."""

import pytest
from support.gearman_wire import Place
from support.waiting import wait_until

from zuul_launcher.gearman.server.packets import Command

DIFFERENCES = {
    # what: (ours, gearmand's)
    "order of equal jobs of two functions": ([b"b1", b"a1", b"b2", b"a2"], [b"b1", b"b2", b"a1", b"a2"]),
    "a sleeping worker learns a function with queued jobs": ("woken", "sleeps on"),
    "worker is gone": ("WORK_FAIL", "queued again"),
    "end of an unknown job": ("ignored", "ERROR"),
    "exception without the option": (b"why", b""),
    "cancelling tells the client": (False, True),
    "cancel of a running job": ("ERR UNKNOWN_JOB", "OK"),
    "client of a queued job comes back": ("the job is run", "the job is never run"),
    "result of a job whose client is gone": ("kept", "lost"),
}


def expected(either: Place, what: str) -> object:
    return DIFFERENCES[what][0 if either.name == "ours" else 1]


def test_a_job_goes_to_a_worker_and_its_packets_come_back(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"f")
    handle = client.submit(b"f", b"u", b"pay\0load")
    worker.send(Command.GRAB_JOB_UNIQ)
    assert worker.expect(Command.JOB_ASSIGN_UNIQ) == [handle, b"f", b"u", b"pay", b"load"]
    worker.send(Command.WORK_DATA, handle, b"da\0ta")
    worker.send(Command.WORK_WARNING, handle, b"careful")
    worker.send(Command.WORK_STATUS, handle, b"1", b"2")
    worker.send(Command.WORK_COMPLETE, handle, b"done")
    assert client.expect(Command.WORK_DATA) == [handle, b"da", b"ta"]
    assert client.expect(Command.WORK_WARNING) == [handle, b"careful"]
    assert client.expect(Command.WORK_STATUS) == [handle, b"1", b"2"]
    assert client.expect(Command.WORK_COMPLETE) == [handle, b"done"]


def test_the_three_ways_to_grab_tell_what_they_should(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"f")
    handles = [client.submit(b"f", b"u%d" % n, b"p") for n in range(3)]
    worker.send(Command.GRAB_JOB)
    assert worker.expect(Command.JOB_ASSIGN) == [handles[0], b"f", b"p"]
    worker.send(Command.GRAB_JOB_UNIQ)
    assert worker.expect(Command.JOB_ASSIGN_UNIQ) == [handles[1], b"f", b"u1", b"p"]
    worker.send(Command.GRAB_JOB_ALL)
    assert worker.expect(Command.JOB_ASSIGN_UNIQ) == [handles[2], b"f", b"u2", b"p"]
    worker.send(Command.GRAB_JOB)
    worker.expect(Command.NO_JOB)


def test_a_failure_reaches_the_client(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"f")
    handle = client.submit(b"f")
    assert worker.grab() == handle
    worker.send(Command.WORK_FAIL, handle)
    assert client.expect(Command.WORK_FAIL) == [handle]


def test_an_exception_reaches_a_client_that_asked_for_exceptions(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"f")
    client.send(Command.OPTION_REQ, b"exceptions")
    assert client.expect(Command.OPTION_RES) == [b"exceptions"]
    handle = client.submit(b"f")
    worker.grab()
    worker.send(Command.WORK_EXCEPTION, handle, b"why")
    assert client.expect(Command.WORK_EXCEPTION) == [handle, b"why"]


def test_a_client_that_did_not_ask_for_exceptions_gets_the_end(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"f")
    handle = client.submit(b"f")
    worker.grab()
    worker.send(Command.WORK_EXCEPTION, handle, b"why")
    found = client.packet()
    text = found.body.partition(b"\0")[2]
    assert found.command == (Command.WORK_EXCEPTION if text else Command.WORK_FAIL)
    assert text == expected(either, "exception without the option")


def test_priorities_are_strict_and_jobs_of_one_function_keep_their_order(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"f")
    ways = [
        Command.SUBMIT_JOB_LOW,
        Command.SUBMIT_JOB,
        Command.SUBMIT_JOB_HIGH,
        Command.SUBMIT_JOB_BG,
        Command.SUBMIT_JOB_HIGH_BG,
        Command.SUBMIT_JOB_LOW_BG,
    ]
    low, normal, high, normal2, high2, low2 = (
        client.submit(b"f", b"u%d" % n, command=command) for n, command in enumerate(ways)
    )
    assert [worker.grab() for _ in range(7)] == [high, high2, normal, normal2, low, low2, None]


def test_the_order_over_two_functions(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"a", b"b")
    handles = {client.submit(name[:1], name): name for name in (b"b1", b"a1", b"b2", b"a2")}
    order = [handles[handle] for _ in range(4) if (handle := worker.grab())]
    assert order == expected(either, "order of equal jobs of two functions")


def test_a_sleeping_worker_is_woken_by_a_job_and_one_that_falls_asleep_beside_a_job_too(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"f")
    worker.send(Command.PRE_SLEEP)
    worker.echo()
    client.submit(b"f", b"1")
    worker.expect(Command.NOOP)
    worker.send(Command.PRE_SLEEP)
    worker.expect(Command.NOOP)


def test_a_sleeping_worker_that_learns_a_function_with_queued_jobs(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"other")
    client.submit(b"f")
    worker.send(Command.PRE_SLEEP)
    worker.send(Command.CAN_DO, b"f")
    worker.send(Command.ECHO_REQ, b"")
    woken = worker.packet().command == Command.NOOP
    assert ("woken" if woken else "sleeps on") == expected(
        either, "a sleeping worker learns a function with queued jobs"
    )


def test_functions_can_be_taken_back_one_and_all_and_unknown_ones(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"f", b"g")
    handle = client.submit(b"f")
    worker.send(Command.CANT_DO, b"f")
    worker.send(Command.CANT_DO, b"never known")
    assert worker.grab() is None
    worker.send(Command.CAN_DO, b"f")
    worker.send(Command.RESET_ABILITIES)
    assert worker.grab() is None
    worker.send(Command.CAN_DO, b"f")
    assert worker.grab() == handle


def test_submissions_of_one_unique_are_one_job_that_all_clients_hear_of(either: Place) -> None:
    first, second, third = either.connect(), either.connect(), either.connect()
    worker = either.worker(b"f")
    handle = first.submit(b"f", b"u")
    assert second.submit(b"f", b"u") == handle
    assert worker.grab() == handle
    assert third.submit(b"f", b"u") == handle
    worker.send(Command.WORK_COMPLETE, handle, b"done")
    for client in (first, second, third):
        assert client.expect(Command.WORK_COMPLETE) == [handle, b"done"]
    assert worker.grab() is None


def test_a_job_can_be_looked_up_by_handle_and_by_unique(either: Place) -> None:
    client, worker = either.connect(), either.worker(b"f")
    handle = client.submit(b"f", b"u")
    client.send(Command.GET_STATUS, handle)
    assert client.expect(Command.STATUS_RES) == [handle, b"1", b"0", b"0", b"0"]
    worker.grab()
    worker.send(Command.WORK_STATUS, handle, b"3", b"10")
    client.expect(Command.WORK_STATUS)
    client.send(Command.GET_STATUS, handle)
    assert client.expect(Command.STATUS_RES) == [handle, b"1", b"1", b"3", b"10"]
    client.send(Command.GET_STATUS_UNIQUE, b"u")
    assert client.expect(Command.STATUS_RES_UNIQUE) == [b"u", b"1", b"1", b"3", b"10", b"1"]
    client.send(Command.GET_STATUS, b"H:nobody:1")
    assert client.expect(Command.STATUS_RES) == [b"H:nobody:1", b"0", b"0", b"0", b"0"]
    client.send(Command.GET_STATUS_UNIQUE, b"none")
    assert client.expect(Command.STATUS_RES_UNIQUE) == [b"none", b"0", b"0", b"0", b"0", b"0"]


def test_a_worker_that_is_gone(either: Place) -> None:
    client, worker, other = either.connect(), either.worker(b"f"), either.worker(b"f")
    handle = client.submit(b"f", b"u")
    worker.grab()
    worker.close()
    if expected(either, "worker is gone") == "WORK_FAIL":
        assert client.expect(Command.WORK_FAIL) == [handle]
        assert other.grab() is None
    else:
        wait_until(lambda: other.grab() == handle)


def test_the_end_of_a_job_that_the_worker_does_not_have_costs_it_nothing(either: Place) -> None:
    worker = either.worker(b"f")
    worker.send(Command.WORK_COMPLETE, b"H:nobody:1", b"")
    if expected(either, "end of an unknown job") == "ERROR":
        worker.expect(Command.ERROR)
    worker.echo()


def test_cancelling_a_queued_a_running_and_an_unknown_job(either: Place) -> None:
    client, admin, worker = either.connect(), either.connect(), either.worker(b"f")
    running = client.submit(b"f", b"1")
    assert worker.grab() == running
    queued = client.submit(b"f", b"2")
    assert admin.ask(f"cancel job {queued.decode()}") == "OK"
    if expected(either, "cancelling tells the client"):
        assert client.expect(Command.WORK_FAIL) == [queued]
    client.echo()
    assert worker.grab() is None
    assert admin.ask(f"cancel job {running.decode()}") == expected(either, "cancel of a running job")
    assert admin.ask("cancel job H:nobody:1") == "ERR UNKNOWN_JOB"


def test_a_client_that_comes_back_to_its_queued_job(either: Place) -> None:
    client, back, worker = either.connect(), either.connect(), either.worker(b"f")
    handle = client.submit(b"f", b"u")
    client.close()
    wait_until(lambda: len(back.ask_list("workers")) == 2)
    assert back.submit(b"f", b"u") == handle
    run = worker.grab() == handle
    assert ("the job is run" if run else "the job is never run") == expected(
        either, "client of a queued job comes back"
    )


def test_a_client_that_comes_back_after_the_end_of_its_job(either: Place) -> None:
    client, back, worker = either.connect(), either.connect(), either.worker(b"f")
    handle = client.submit(b"f", b"u")
    worker.grab()
    client.close()
    wait_until(lambda: len(back.ask_list("workers")) == 2)
    worker.send(Command.WORK_DATA, handle, b"data")
    worker.send(Command.WORK_COMPLETE, handle, b"done")
    worker.echo()
    kept = expected(either, "result of a job whose client is gone") == "kept"
    back.send(Command.GET_STATUS, handle)
    assert back.expect(Command.STATUS_RES)[1:3] == [b"1" if kept else b"0", b"0"]
    assert (back.submit(b"f", b"u") == handle) == kept
    if kept:
        assert back.expect(Command.WORK_DATA) == [handle, b"data"]
        assert back.expect(Command.WORK_COMPLETE) == [handle, b"done"]


def test_the_text_protocol_lists_functions_workers_and_jobs(either: Place) -> None:
    client, admin, worker = either.connect(), either.connect(), either.worker(b"f")
    worker.send(Command.SET_CLIENT_ID, b"me")
    worker.echo()
    first = client.submit(b"f", b"u1").decode()
    second = client.submit(b"f", b"u2", command=Command.SUBMIT_JOB_HIGH_BG).decode()
    client.submit(b"nobody", b"u3")
    worker.grab()
    assert sorted(admin.ask_list("status")) == ["f\t2\t1\t1", "nobody\t1\t0\t0"]
    assert sorted(admin.ask_list("prioritystatus")) == ["f\t0\t1\t0\t1", "nobody\t0\t1\t0\t0"]
    assert [line.split(" ", 1)[1] for line in admin.ask_list("workers") if " : " in line] == ["127.0.0.1 me : f"]
    assert {f"{first}\t0\t0\t0", f"{second}\t0\t0\t1"} < set(admin.ask_list("show jobs"))
    assert sorted(admin.ask_list("show unique jobs")) == ["u1", "u2", "u3"]
    assert admin.ask("getpid").startswith("OK ")
    assert admin.ask("version").startswith("OK ")


def test_the_size_of_a_queue_can_be_limited(either: Place) -> None:
    client, admin = either.connect(), either.connect()
    client.submit(b"f", b"1")
    assert admin.ask("maxqueue f 1") == "OK"
    client.send(Command.SUBMIT_JOB, b"f", b"2", b"")
    assert client.expect(Command.ERROR)[0] == b"QUEUE_ERROR"
    assert admin.ask("maxqueue").startswith("ERR INVALID_ARGUMENTS")


def test_what_is_not_known_is_answered_with_an_error(either: Place) -> None:
    wire = either.connect()
    assert wire.ask("nonsense").startswith("ERR UNKNOWN_COMMAND")
    assert wire.ask("").startswith("ERR UNKNOWN_COMMAND")
    wire.send(Command.JOB_CREATED, b"that is for servers")
    assert wire.expect(Command.ERROR)[0] == b"INVALID_COMMAND"
    wire.send(Command.OPTION_REQ, b"nonsense")
    assert wire.expect(Command.ERROR)[0] == b"UNKNOWN_OPTION"
    wire.echo()


@pytest.mark.parametrize("data", [b"", b"\0", b"x" * 1_000_000], ids=["empty", "nul", "megabyte"])
def test_any_payload_passes_unchanged_both_ways(either: Place, data: bytes) -> None:
    client, worker = either.connect(), either.worker(b"f")
    client.submit(b"f", b"u", data)
    worker.send(Command.GRAB_JOB_UNIQ)
    handle, _, _, payload = worker.packet().body.split(b"\0", 3)
    assert payload == data
    worker.send(Command.WORK_COMPLETE, handle, data)
    assert client.packet().body.split(b"\0", 1)[1] == data
