"""Jobs that steps submit: whoever waits gets the end, and whoever does not is not missed."""

import threading

import pytest
from support.gearman_places import Worker
from support.gearman_wire import Place
from support.queue_world import ScriptedServer, expected
from support.waiting import free_port, wait_until

from zuul_launcher.errors import RemoteRefused, RemoteUnavailable
from zuul_launcher.gearman.server.packets import Command
from zuul_launcher.worker.queue.submit import JobEnd, SubmittedJob, submit


def test_a_job_that_nobody_waits_for_is_run(place: Place) -> None:
    submit("127.0.0.1", place.port, "build:P", b'{"A": "1"}', "the-id")
    worker = Worker(place, "build:P")
    assert worker.take() == "build:P"
    assert (worker.unique, worker.payload) == ("the-id", b'{"A": "1"}')
    worker.complete()


def test_the_last_data_of_a_job_is_its_end(place: Place) -> None:
    worker = Worker(place, "build:P")
    with SubmittedJob("127.0.0.1", place.port, "build:P", b"{}", "u") as job:
        assert job.wait(0.01) is None
        worker.take()
        worker.data(b"begun")
        worker.data(b"final")
        worker.complete()
        assert job.wait(20) == JobEnd(kind="complete", data=b"final")


def test_an_end_with_data_of_its_own_has_that(place: Place) -> None:
    worker = Worker(place, "build:P")
    with SubmittedJob("127.0.0.1", place.port, "build:P", b"{}") as job:
        worker.take()
        worker.data(b"begun")
        worker.complete(b"a\0b")
        assert job.wait(20) == JobEnd(kind="complete", data=b"a\0b")


def test_a_job_that_never_ran_says_so(place: Place) -> None:
    worker = Worker(place, "build:P")
    with SubmittedJob("127.0.0.1", place.port, "build:P", b"{}", "a") as job:
        worker.take()
        worker.fail()
        assert job.wait(20) == JobEnd(kind="fail")
    with SubmittedJob("127.0.0.1", place.port, "build:P", b"{}", "b") as job:
        worker.take()
        worker.exception(b"why")
        reaches = expected(place, "an exception reaches a client that did not ask for them")
        assert job.wait(20) == (JobEnd(kind="exception", data=b"why") if reaches else JobEnd(kind="fail"))


def test_a_job_that_is_cancelled_leaves_the_queue_and_nobody_waits(place: Place) -> None:
    with SubmittedJob("127.0.0.1", place.port, "build:P", b"{}", "u") as job:
        assert "build:P\t1\t0\t0" in place.connect().ask_list("status")
        ends: list[JobEnd | None] = []
        waiting = threading.Thread(target=lambda: ends.append(job.wait(60)))
        waiting.start()
        job.cancel()
        waiting.join(20)
        assert [one.kind for one in ends if one] in (["cancelled"], ["fail"])  # gearmand's FAIL may be quicker
        job.cancel()
        handle, wire = job.handle.decode(), place.connect()
        if expected(place, "a cancelled job is listed until a worker asks"):
            wait_until(lambda: f"{handle}\t0\t1\t0" in wire.ask_list("show jobs"))
        else:
            wait_until(lambda: "build:P\t1\t0\t0" not in wire.ask_list("status"))
    assert not Worker(place, "build:P").grab()


def test_a_server_that_goes_away_is_told(script: ScriptedServer) -> None:
    jobs: list[SubmittedJob] = []
    submitting = threading.Thread(target=lambda: jobs.append(SubmittedJob("127.0.0.1", script.port, "f", b"")))
    submitting.start()
    peer = script.peer("")
    peer.wait_for(Command.SUBMIT_JOB)
    peer.send(Command.JOB_CREATED, b"H:1")
    submitting.join(20)
    peer.send(Command.WORK_DATA, b"H:1", b"begun")
    peer.close()
    assert jobs[0].wait(20) == JobEnd(kind="lost", data=b"begun")
    jobs[0].close()


def test_a_server_that_does_not_want_the_job_is_told(script: ScriptedServer) -> None:
    caught: list[Exception] = []

    def try_it() -> None:
        try:
            submit("127.0.0.1", script.port, "f", b"")
        except (RemoteRefused, RemoteUnavailable) as error:
            caught.append(error)

    for answer in (Command.ERROR, None):
        submitting = threading.Thread(target=try_it)
        submitting.start()
        wait_until(lambda: bool(script.peers) and script.peers[-1].count(Command.SUBMIT_JOB_BG) == 1)
        peer = script.peers.pop()
        if answer is not None:
            peer.send(answer, b"QUEUE_FULL", b"too many")
        peer.close()
        submitting.join(20)
    assert [type(error) for error in caught] == [RemoteRefused, RemoteUnavailable]
    assert "QUEUE_FULL: too many" in str(caught[0])


def test_no_server_is_told() -> None:
    with pytest.raises(RemoteUnavailable, match="no connection"):
        submit("127.0.0.1", free_port(), "f", b"")
