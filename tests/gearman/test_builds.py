"""Builds over every server: one body of tests, and where the servers differ what each is worth."""

import json
import logging

import pytest
from support.gearman_places import Launcher, Proxy, Worker, any_server, build_request
from support.gearman_wire import DEADLINE, Place
from support.waiting import wait_until

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.gearman.builds import Builds
from zuul_launcher.gearman.client import Client
from zuul_launcher.model.events import BuildFinished, BuildLost, BuildProgress, BuildQueued

FIRST = b'{"name": "unit", "number": 0, "manager": "jenkins1", "url": "http://ci.example.net/0/"}'
STOP = {"name": "unit", "number": 0}


def worker_at(place: Place) -> Worker:
    return Worker(place, "build:unit")


def start_build(launcher: Launcher, worker: Worker) -> str:
    """Up to a running build whose number is known; its handle."""
    launcher.builds.launch(build_request())
    handle = launcher.expect(BuildQueued).handle
    worker.take()
    worker.data(FIRST)
    launcher.expect(BuildProgress)
    return handle


def test_a_build_is_queued_then_tells_its_number_then_ends_with_the_workers_result(
    launcher: Launcher, place: Place
) -> None:
    worker = worker_at(place)
    launcher.builds.launch(build_request(parameters={"ZUUL_UUID": "1" * 32, "ZUUL_URL": None}))

    queued = launcher.expect(BuildQueued)
    assert (queued.item, queued.attempt, queued.build, queued.at) == ("7", 2, "1" * 32, 1000.0)
    assert worker.take() == "build:unit"
    assert worker.unique == "1" * 32
    assert json.loads(worker.payload) == {"ZUUL_UUID": "1" * 32, "ZUUL_URL": None}
    assert queued.handle.encode() == worker.handle

    worker.data(FIRST)
    data = launcher.expect(BuildProgress).data
    assert (data.number, data.manager, data.url) == (0, "jenkins1", "http://ci.example.net/0/")

    worker.data(b'{"url": "http://logs.example.net/0/"}')
    assert launcher.expect(BuildProgress).data.url == "http://logs.example.net/0/"

    worker.complete(b'{"result": "SUCCESS", "node_name": "n1", "node_labels": ["a", "b"]}')
    finished = launcher.expect(BuildFinished)
    assert (finished.result, finished.reason) == ("SUCCESS", None)
    assert (finished.data.node_name, finished.data.node_labels, finished.data.number) == ("n1", ("a", "b"), 0)


def test_data_that_says_nothing_new_is_not_posted_again(launcher: Launcher, place: Place) -> None:
    worker = worker_at(place)
    start_build(launcher, worker)
    worker.data(FIRST)
    worker.complete(b'{"result": "FAILURE"}')
    assert launcher.expect(BuildFinished).result == "FAILURE"


def test_the_latest_data_counts_however_the_job_ends(launcher: Launcher, place: Place) -> None:
    worker = worker_at(place)
    for uuid, end in (("a" * 32, "complete"), ("b" * 32, "fail")):
        launcher.builds.launch(build_request(uuid))
        launcher.expect(BuildQueued)
        worker.take()
        worker.data(b'{"result": "UNSTABLE"}')
        getattr(worker, end)()
        assert launcher.expect(BuildFinished).result == "UNSTABLE"


def test_an_end_without_a_result_says_why(launcher: Launcher, place: Place) -> None:
    worker = worker_at(place)
    ends = {
        "a": (lambda: worker.complete(), "the worker gave no result"),
        "b": (lambda: worker.complete(b'{"result": null}'), "the worker gave no result"),
        "c": (lambda: worker.complete(b"<html>"), "not JSON"),
        "d": (lambda: worker.complete(b'{"result": {}}'), "a result that is not text"),
        "e": (lambda: worker.fail(), "failed or lost its connection"),
        "f": (lambda: worker.exception(b"no such job"), "no such job"),
    }
    for letter, (end, reason) in ends.items():
        launcher.builds.launch(build_request(letter * 32))
        launcher.expect(BuildQueued)
        worker.take()
        end()
        finished = launcher.expect(BuildFinished)
        assert finished.result is None
        assert reason in (finished.reason or "")


def test_a_build_is_launched_once_however_often_it_is_asked_for(launcher: Launcher, place: Place) -> None:
    worker = worker_at(place)
    start_build(launcher, worker)
    launcher.builds.launch(build_request())
    worker.complete(b'{"result": "SUCCESS"}')
    launcher.expect(BuildFinished)
    launcher.builds.launch(build_request())
    launcher.builds.cancel(build_request()).result(DEADLINE)
    worker.sync()
    assert not worker.grab()


def test_a_function_that_nobody_offers_is_not_registered_until_somebody_does(launcher: Launcher, place: Place) -> None:
    launcher.builds.launch(build_request("a" * 32))
    assert launcher.expect(BuildFinished).result == "NOT_REGISTERED"
    worker = worker_at(place)
    launcher.builds.launch(build_request("b" * 32))
    launcher.expect(BuildQueued)
    worker.take()
    worker.complete(b'{"result": "SUCCESS"}')
    assert launcher.expect(BuildFinished).result == "SUCCESS"


def test_a_function_name_that_breaks_the_protocol_is_not_sent(launcher: Launcher) -> None:
    for letter, function in (("a", "build:un\0it"), ("b", "build:a b"), ("c", "build:unit:x\nshutdown")):
        launcher.builds.launch(build_request(letter * 32, function=function))
        finished = launcher.expect(BuildFinished)
        assert finished.result == "EXCEPTION"
        assert "character" in (finished.reason or "")


def test_builds_are_handed_out_by_precedence(launcher: Launcher, place: Place) -> None:
    worker = worker_at(place)
    for letter, precedence in (("a", "low"), ("b", "normal"), ("c", "high")):
        launcher.builds.launch(build_request(letter * 32, precedence=precedence))
        launcher.expect(BuildQueued)
    order = []
    for _ in range(3):
        worker.take()
        order.append(worker.unique[0])
        worker.complete(b'{"result": "SUCCESS"}')
        launcher.expect(BuildFinished)
    assert order == ["c", "b", "a"]


def test_a_queued_build_that_is_cancelled_is_never_handed_out(launcher: Launcher, place: Place) -> None:
    """D47. The side of the client."""
    worker = worker_at(place)
    launcher.builds.launch(build_request())
    launcher.expect(BuildQueued)
    launcher.builds.cancel(build_request()).result(DEADLINE)
    assert not worker.grab()


def test_a_running_build_that_is_cancelled_is_stopped_and_its_end_not_posted(launcher: Launcher, place: Place) -> None:
    """D47. The side of the client."""
    worker, manager = worker_at(place), Worker(place, "stop:jenkins1")
    start_build(launcher, worker)
    launcher.builds.cancel(build_request()).result(DEADLINE)
    assert manager.take() == "stop:jenkins1"
    assert json.loads(manager.payload) == STOP
    manager.complete()
    worker.complete(b'{"result": "ABORTED"}')
    worker.sync()


def test_a_build_cancelled_between_hand_out_and_number_is_stopped_when_the_number_comes(
    launcher: Launcher, place: Place
) -> None:
    worker, manager = worker_at(place), Worker(place, "stop:jenkins1")
    launcher.builds.launch(build_request())
    launcher.expect(BuildQueued)
    worker.take()
    cancelled = launcher.builds.cancel(build_request())
    wait_until(lambda: bool(launcher.builds._open["1" * 32].cancel))
    worker.data(FIRST)
    assert manager.take() == "stop:jenkins1"
    assert json.loads(manager.payload) == STOP
    cancelled.result(DEADLINE)


def test_one_cancel_that_waits_for_a_number_does_not_hold_up_another(launcher: Launcher, place: Place) -> None:
    worker = worker_at(place)
    launcher.builds.launch(build_request("a" * 32))
    launcher.expect(BuildQueued)
    worker.take()
    launcher.builds.launch(build_request("b" * 32))
    launcher.expect(BuildQueued)
    waiting = launcher.builds.cancel(build_request("a" * 32))
    if place.name != "gearmand":  # there the second waits, too: its OK says nothing
        launcher.builds.cancel(build_request("b" * 32)).result(DEADLINE)
        assert not waiting.done()
    waiting.result(DEADLINE)


def test_a_build_is_cancelled_after_a_restart_by_what_its_row_says(launcher: Launcher, place: Place) -> None:
    manager = Worker(place, "stop:jenkins1")
    launcher.builds.cancel(build_request(handle="H:gone:1", manager="jenkins1", number=0)).result(DEADLINE)
    assert manager.take() == "stop:jenkins1"
    assert json.loads(manager.payload) == STOP


def test_cancelling_what_the_server_does_not_know_is_done_at_once(launcher: Launcher) -> None:
    launcher.builds.cancel(build_request(handle="H:gone:1")).result(DEADLINE)
    launcher.builds.cancel(build_request("b" * 32)).result(DEADLINE)


def test_a_running_build_survives_a_cut_connection(launcher: Launcher, place: Place, proxy: Proxy) -> None:
    worker, manager = worker_at(place), Worker(place, "stop:jenkins1")
    start_build(launcher, worker)
    proxy.cut()
    wait_until(lambda: not launcher.client.connected)
    proxy.mend()
    if place.name == "gear":  # it forgets the jobs of a client that left, so the build must be run anew
        assert launcher.expect(BuildLost).reason
        assert manager.take() == "stop:jenkins1"
        return
    launcher.connected()
    sync_client(launcher)
    worker.complete(b'{"result": "SUCCESS"}')
    assert launcher.expect(BuildFinished).result == "SUCCESS"
    assert not worker.grab()


def test_a_queued_build_after_a_cut_connection(launcher: Launcher, place: Place, proxy: Proxy) -> None:
    worker = worker_at(place)
    launcher.builds.launch(build_request())
    launcher.expect(BuildQueued)
    proxy.cut()
    wait_until(lambda: not launcher.client.connected)
    proxy.mend()
    if place.name != "ours":  # dropped, or never run because its client had left
        launcher.expect(BuildLost)
        sync_client(launcher)
        assert not worker.grab()
        return
    worker.take()
    worker.complete(b'{"result": "SUCCESS"}')
    assert launcher.expect(BuildFinished).result == "SUCCESS"


def test_a_build_that_ended_while_the_connection_was_cut(launcher: Launcher, place: Place, proxy: Proxy) -> None:
    worker = worker_at(place)
    start_build(launcher, worker)
    proxy.cut()
    wait_until(lambda: not launcher.client.connected)
    worker.sync()
    worker.complete(b'{"result": "SUCCESS"}')
    worker.sync()
    proxy.mend()
    if place.name == "ours":
        assert launcher.expect(BuildFinished).result == "SUCCESS"
    else:
        launcher.expect(BuildLost)
    sync_client(launcher)
    assert not worker.grab()


def test_a_build_launched_while_there_is_no_connection_waits_for_it(
    launcher: Launcher, place: Place, proxy: Proxy
) -> None:
    worker = worker_at(place)
    proxy.cut()
    wait_until(lambda: not launcher.client.connected)
    launcher.builds.launch(build_request("a" * 32))
    launcher.builds.launch(build_request("b" * 32))
    launcher.builds.cancel(build_request("b" * 32)).result(DEADLINE)
    proxy.mend()
    launcher.expect(BuildQueued)
    worker.take()
    assert worker.unique == "a" * 32
    worker.complete(b'{"result": "SUCCESS"}')
    launcher.expect(BuildFinished)
    assert not worker.grab()


def test_a_build_cancelled_while_there_is_no_connection_is_stopped_when_it_is_back(
    launcher: Launcher, place: Place, proxy: Proxy
) -> None:
    worker, manager = worker_at(place), Worker(place, "stop:jenkins1")
    start_build(launcher, worker)
    proxy.cut()
    wait_until(lambda: not launcher.client.connected)
    cancelled = launcher.builds.cancel(build_request())
    proxy.mend()
    assert manager.take() == "stop:jenkins1"
    cancelled.result(DEADLINE)


def test_another_process_takes_up_a_running_build(place: Place) -> None:
    worker, manager = worker_at(place), Worker(place, "stop:jenkins1")
    before = Launcher(place.port)
    handle = start_build(before, worker)
    before.close()
    worker.sync()
    after = Launcher(place.port)
    after.builds.resume([build_request(handle=handle, manager="jenkins1", number=0)])
    if place.name == "gear":
        after.expect(BuildLost)
        assert manager.take() == "stop:jenkins1"
    else:
        if place.name == "ours":  # tells again what the worker had said
            assert after.expect(BuildProgress).data.url == "http://ci.example.net/0/"
        wait_until(lambda: any(build.accepted for build in after.builds._open.values()))
        worker.complete(b'{"result": "SUCCESS"}')
        assert after.expect(BuildFinished).result == "SUCCESS"
    after.close()


def test_another_process_takes_up_a_build_without_a_handle(place: Place) -> None:
    worker = worker_at(place)
    after = Launcher(place.port)
    after.builds.resume([build_request()])
    if place.name == "ours":  # joins the job if the submission had arrived, else it is made now
        after.expect(BuildQueued)
        worker.take()
        worker.complete(b'{"result": "SUCCESS"}')
        after.expect(BuildFinished)
    else:
        after.expect(BuildLost)
        assert not worker.grab()
    after.close()


def test_a_restart_of_the_server_loses_its_builds_without_running_them_twice() -> None:
    with any_server("ours") as first, any_server("ours") as second:
        proxy = Proxy(first.port)
        launcher = Launcher(proxy.port)
        start_build(launcher, worker_at(first))
        proxy.cut()
        proxy._target = second.port
        worker = worker_at(second)
        proxy.mend()
        launcher.expect(BuildLost)
        sync_client(launcher)
        assert not worker.grab()
        launcher.close()
        proxy.close()


def test_a_build_that_the_server_forgot_is_found_lost(place: Place) -> None:
    launcher = Launcher(place.port, check_seconds=0.1)
    worker = worker_at(place)
    launcher.builds.launch(build_request())
    handle = launcher.expect(BuildQueued).handle
    assert worker.wire.ask(f"cancel job {handle}") == "OK"
    if place.name == "gearmand":  # tells the client
        assert launcher.expect(BuildFinished).result is None
    else:
        launcher.expect(BuildLost)
    launcher.close()


def test_a_description_goes_to_a_manager_that_wants_it(launcher: Launcher, place: Place) -> None:
    manager = Worker(place, "set_description:jenkins1")
    launcher.builds.describe("unit", 0, "jenkins2", "<p>nobody</p>")
    launcher.builds.describe("unit", 0, "jenkins1", "<p>hello</p>")
    assert manager.take() == "set_description:jenkins1"
    assert json.loads(manager.payload) == {"name": "unit", "number": 0, "html_description": "<p>hello</p>"}


def test_without_a_connection_a_description_is_for_later() -> None:
    client = Client("127.0.0.1", 1)
    builds = Builds(client, lambda event: None, lambda: 0.0)
    with pytest.raises(RemoteUnavailable):
        builds.describe("unit", 1, "jenkins1", "")
    client.stop()


def test_what_a_callback_raises_does_not_end_the_connection(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    posted = []

    def post(event: object) -> None:
        posted.append(event)
        raise RuntimeError("the inbox is broken")

    client = Client("127.0.0.1", place.port)
    builds = Builds(client, post, lambda: 0.0, check_registration=False)
    client.start()
    with caplog.at_level(logging.ERROR):
        builds.launch(build_request("a" * 32))
        builds.launch(build_request("b" * 32))
        wait_until(lambda: len(posted) == 2)
    client.stop()


def sync_client(launcher: Launcher) -> None:
    """What was to be done about the open builds at the latest connection is done, and answered."""
    launcher.connected()
    wait_until(lambda: all(build.accepted for build in launcher.builds._open.values()))
