"""Servers and connections that go away, and come back: nothing is lost that need not be, nothing runs twice here."""

import json
import logging
import threading

import pytest
from support.gearman_places import Proxy, any_server
from support.gearman_wire import Place
from support.queue_world import Caller, ScriptedServer, SilentProxy, World, a_job, a_node, expected, offered, world_at
from support.waiting import free_port, wait_until

from zuul_launcher.gearman.link import Backoff
from zuul_launcher.gearman.server.packets import Command, response
from zuul_launcher.worker.definitions.job import Job
from zuul_launcher.worker.queue.settings import QueueSettings

NODE, JOB = a_node("n"), a_job("P")


def way(place: Place) -> Proxy:
    return Proxy(place.port)


def test_a_manager_starts_without_a_server_and_finds_it_later(caplog: pytest.LogCaptureFixture) -> None:
    """D64. D72: an outage is said once, however many connections and tries there are."""
    proxy = Proxy(free_port())
    proxy.cut()
    world = World(proxy.port)
    world.queue.start()
    try:
        with caplog.at_level(logging.INFO, logger="zuul_launcher.worker.queue"):
            world.tell(a_node("n", executors=3), JOB)
            wait_until(lambda: world.queue.health()["executors"] == 3)
            assert world.queue.flush(20)
            assert world.queue.functions() == {name: [] for name in ("manager_manager", *_ids(3))}
            with any_server("ours") as place:
                proxy._target = place.port
                proxy.mend()
                world.connected()
                wait_until(lambda: len(offered(place)) == 4)
                wait_until(lambda: "are back" in caplog.text)
                proxy.cut()
                wait_until(lambda: "no connection" in caplog.records[-1].message)
                world.queue.stop()
        said = [record.levelname for record in caplog.records]
        assert said == ["WARNING", "INFO", "WARNING"], caplog.text
    finally:
        world.queue.stop()
        proxy.close()


def test_a_node_that_is_removed_in_an_outage_does_not_prolong_it(
    script: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D72."""
    proxy = Proxy(script.port)
    proxy.cut()
    world = World(proxy.port)
    world.queue.start()
    try:
        with caplog.at_level(logging.INFO, logger="zuul_launcher.worker.queue"):
            world.tell(NODE, JOB)
            wait_until(lambda: "n_exec-0" in {link.name for link in world.queue._outage._out})
            world.forget("n")
            wait_until(lambda: world.queue.health()["executors"] == 0)
            proxy.mend()
            wait_until(lambda: "are back" in caplog.text)
    finally:
        world.queue.stop()
        proxy.close()


def test_after_a_restart_of_the_server_functions_are_back_and_the_next_job_runs(place: Place) -> None:
    """D65."""
    proxy = way(place)
    with world_at(proxy.port, NODE, JOB) as world:
        wait_until(lambda: len(offered(place)) == 2)
        proxy.cut()
        wait_until(lambda: not offered(place))
        proxy.mend()
        wait_until(lambda: len(offered(place)) == 2)
        caller = Caller(place)
        world.builds.at_once = True
        assert caller.run("build:P")[0] == Command.WORK_COMPLETE
        caller.close()
    proxy.close()


def test_a_build_outlives_its_connection_and_keeps_its_executor(place: Place) -> None:
    """D66."""
    proxy = way(place)
    with world_at(proxy.port, NODE, JOB) as world:
        caller = Caller(place)
        caller.submit("build:P", unique="first")
        (build,) = world.builds.wait_for(1)
        assert build.delivery.is_connected
        proxy.cut()
        wait_until(lambda: not build.delivery.is_connected)
        proxy.mend()
        wait_until(lambda: len(offered(place)) == 2)
        caller.submit("build:P", unique="second")
        world.settled()
        assert world.builds.running == [build]
        assert world.queue.health()["executors_busy"] == 1
        world.builds.finish(build)
        wait_until(lambda: "second" in world.builds.uniques())
        assert world.builds.most_running["n"] == 1
        caller.close()
    proxy.close()


def test_a_job_that_the_server_queues_again_is_adopted(place: Place) -> None:
    """D67. On gearmand only; the others fail it, and its client submits it anew."""
    proxy = way(place)
    with world_at(proxy.port, a_node("n", executors=2), JOB) as world:
        caller = Caller(place)
        handle = caller.submit("build:P", unique="u")
        (build,) = world.builds.wait_for(1)
        proxy.cut()
        wait_until(lambda: not offered(place))
        proxy.mend()
        if expected(place, "a worker is gone") == "WORK_FAIL":
            assert caller.end(handle)[0] == Command.WORK_FAIL
            handle = caller.submit("build:P", unique="u")
        wait_until(lambda: len(world.builds.assignments) == 2)
        assert world.queue.health()["executors_busy"] == 1
        wait_until(lambda: build.delivery.is_connected)
        world.builds.finish(build)
        command, data = caller.end(handle)
        assert (command, json.loads(data)["number"]) == (Command.WORK_COMPLETE, 1)
        assert len(world.builds.all) == 1
        assert [c for c, _ in caller.news(handle, bool)].count(Command.WORK_COMPLETE) == 1
        caller.close()
    proxy.close()


def test_a_job_whose_detached_build_has_ended_gets_the_stored_result(place: Place) -> None:
    """D68. One executor: the job can be grabbed again only when its build is over."""
    proxy = way(place)
    with world_at(proxy.port, NODE, JOB) as world:
        caller = Caller(place)
        handle = caller.submit("build:P", unique="u")
        (build,) = world.builds.wait_for(1)
        proxy.cut()
        wait_until(lambda: not offered(place))
        world.builds.finish(build)
        proxy.mend()
        if expected(place, "a worker is gone") == "WORK_FAIL":
            assert caller.end(handle)[0] == Command.WORK_FAIL
            handle = caller.submit("build:P", unique="u")
        assert caller.end(handle) == (Command.WORK_COMPLETE, build.final)
        assert len(world.builds.all) == 1
        caller.close()
    proxy.close()


def test_a_late_end_never_goes_to_the_next_connection(script: ScriptedServer) -> None:
    """D70. The handle is the same, as gearmand does it."""
    script.answers_grabs = False
    with world_at(script.port, a_node("n", executors=2), JOB) as world:
        first = [script.peer(f"n_exec-{index}") for index in range(2)]
        wait_until(lambda: any(peer.count(Command.GRAB_JOB_UNIQ) for peer in first))
        (given,) = [peer for peer in first if peer.count(Command.GRAB_JOB_UNIQ)]
        given.assign("build:P", "H:1", "u1")
        (build,) = world.builds.wait_for(1)
        (other,) = [peer for peer in first if peer is not given]
        other.wait_for(Command.GRAB_JOB_UNIQ)
        other.send(Command.NO_JOB)
        other.asleep()
        given.close()
        second = script.peer(given.client_id, 2)
        second.wait_for(Command.GRAB_JOB_UNIQ)
        second.assign("build:P", "H:1", "u2")
        _, other_build = world.builds.wait_for(2)
        world.builds.finish(build)
        assert not build.delivery.is_connected
        world.settled()
        assert second.count(Command.WORK_COMPLETE) == 0
        world.builds.finish(other_build)
        second.wait_for(Command.WORK_COMPLETE)
        second.wait_for(Command.GRAB_JOB_UNIQ, 2)
        second.send(Command.NO_JOB)
        ends = [arguments for command, arguments in second.received if command == Command.WORK_COMPLETE]
        assert ends == [[b"H:1", other_build.final]]


def test_an_error_packet_is_logged_and_the_next_job_runs(
    script: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """D70."""
    script.answers_grabs = False
    with world_at(script.port, NODE, JOB) as world:
        peer = script.peer("n_exec-0")
        peer.wait_for(Command.GRAB_JOB_UNIQ)
        peer.send(Command.ERROR, b"JOB_NOT_FOUND", b"of a build long ago")
        peer.send(Command.ECHO_RES, b"x")
        peer.send(Command.OPTION_RES, b"x")
        peer.send(Command.STATUS_RES, b"x", b"1", b"1", b"1", b"1")
        peer.assign("build:P")
        world.builds.finish(world.builds.wait_for(1)[0])
        peer.wait_for(Command.GRAB_JOB_UNIQ, 2)
        peer.send(Command.NO_JOB)
        peer.asleep()
        assert peer.is_open
    assert "JOB_NOT_FOUND: of a build long ago" in caplog.text


@pytest.mark.parametrize("junk", [b"\0REX\0\0\0\x06\0\0\0\0", response(Command.JOB_ASSIGN_UNIQ, b"too little")])
def test_what_breaks_the_protocol_ends_the_connection_and_the_next_one_works(
    script: ScriptedServer, junk: bytes
) -> None:
    """D70."""
    with world_at(script.port, NODE, JOB):
        peer = script.peer("n_exec-0")
        peer.asleep()
        peer.answers_grabs = False
        peer.send(Command.NOOP)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 2)
        peer._socket.sendall(junk)
        script.peer("n_exec-0", 2).asleep()
        wait_until(lambda: not peer.is_open)


def test_a_connection_that_carries_nothing_any_more_is_found(place: Place) -> None:
    """D71."""
    proxy = SilentProxy(place.port)
    with world_at(proxy.port, NODE, JOB, probe_seconds=0.2, answer_seconds=0.5) as world:
        wait_until(lambda: len(offered(place)) == 2)
        proxy.silence()
        caller = Caller(place)
        world.builds.at_once = True
        handle = caller.submit("build:P", unique="u")
        assert caller.end(handle)[0] == Command.WORK_COMPLETE
        assert world.builds.uniques() == ["u"]
        caller.close()
    proxy.close()


def test_a_noop_that_got_lost_is_made_up_for(place: Place) -> None:
    """D71."""
    proxy = SilentProxy(place.port)
    with world_at(proxy.port, NODE, JOB, probe_seconds=0.5) as world:
        wait_until(lambda: len(offered(place)) == 2)
        world.settled()
        proxy.lose(response(Command.NOOP))
        caller = Caller(place)
        world.builds.at_once = True
        assert caller.run("build:P")[0] == Command.WORK_COMPLETE
        assert proxy.lost_all
        assert world.queue.health()["executors_connected"] == 1
        caller.close()
    proxy.close()


def test_a_sleeping_worker_probes_by_grabbing_and_sleeps_again(script: ScriptedServer) -> None:
    """D71. Also without any function, and one grab at a time."""
    with world_at(script.port, NODE, probe_seconds=0.05) as world:
        peer = script.peer("n_exec-0")
        peer.asleep(3)
        world.tell(JOB)
        peer.wait_for(Command.CAN_DO)
        peer.asleep(peer.count(Command.PRE_SLEEP) + 3)
        kinds = (Command.GRAB_JOB_UNIQ, Command.PRE_SLEEP)
        said = peer.commands(*kinds)
        assert peer.most_grabs == 1
        assert said[: len(said) // 2 * 2] == list(kinds) * (len(said) // 2)


def test_delays_double_up_to_half_a_minute_and_differ_by_a_fifth() -> None:
    """D72."""
    settings = QueueSettings()
    for draw, factor in ((0.0, 0.8), (0.5, 1.0), (1.0, 1.2)):
        backoff = Backoff(settings.delays, jitter=settings.jitter, draw=lambda draw=draw: draw)  # type: ignore[misc]
        delays = [backoff.after_try() for _ in range(8)]
        assert delays == pytest.approx([factor * delay for delay in (1, 2, 4, 8, 16, 30, 30, 30)])


def test_delays_begin_anew_after_a_connection_that_lasted() -> None:
    """D72."""
    backoff = Backoff((1, 2, 4), stable_seconds=60)
    assert [backoff.after_try(), backoff.after_try()] == [1, 2]
    assert backoff.after_connection(59.9) == 4
    assert backoff.after_connection(60) == 1
    assert backoff.after_try() == 2


def test_without_a_time_to_last_each_connection_is_tried_again_at_once() -> None:
    backoff = Backoff((1, 2, 4))
    assert [backoff.after_try(), backoff.after_try()] == [1, 2]
    assert backoff.after_connection(0) == 0
    assert backoff.after_try() == 1


def test_a_server_that_hangs_up_each_time_is_not_called_without_pause(script: ScriptedServer) -> None:
    """D72. A connection that was short counts as a try."""
    world = World(script.port, delays=(0.01, 3600.0), stable_seconds=3600.0)
    world.queue.start()
    try:
        for number in (1, 2):
            peer = script.peer("manager_manager", number)
            peer.asleep()
            peer.close()
        wait_until(lambda: not world.queue.health()["connected"])
        assert len(script.peers) == 2
    finally:
        world.queue.stop()


def test_a_fault_in_a_connection_begins_it_anew_and_is_counted(script: ScriptedServer) -> None:
    """D73."""

    class Jobs(dict):  # type: ignore[type-arg]
        """Raises once when it is asked what an executor asks."""

        faults = 1

        def __contains__(self, key: object) -> bool:
            if self.faults:
                self.faults -= 1
                raise MemoryError("injected")
            return super().__contains__(key)

    script.answers_grabs = False
    with world_at(script.port, NODE) as world:
        world.queue.update({"n": NODE}, Jobs(P=JOB))
        first = script.peer("n_exec-0")
        first.wait_for(Command.GRAB_JOB_UNIQ)
        first.send(Command.NO_JOB)
        first.wait_for(Command.GRAB_JOB_UNIQ, 2)
        first.assign("build:P")
        second = script.peer("n_exec-0", 2)
        second.wait_for(Command.GRAB_JOB_UNIQ)
        second.assign("build:P")
        world.builds.finish(world.builds.wait_for(1)[0])
        second.wait_for(Command.GRAB_JOB_UNIQ, 2)
        second.send(Command.NO_JOB)
        assert world.queue.health()["faults"] == 1
        assert len(world.builds.all) == 1
        world.queue.update({}, {})
        wait_until(lambda: world.queue.health()["executors"] == 0)
        assert world.queue.health()["faults"] == 1


def test_a_fault_of_the_keeper_is_counted_and_it_goes_on(script: ScriptedServer) -> None:
    """D73. What it had begun before the fault is not begun twice."""

    class Expression:
        atoms = frozenset({"x"})
        asked = 0

        def matches(self, labels: frozenset[str]) -> bool:
            self.asked += 1
            if self.asked in (2, 4):
                raise RuntimeError("injected")
            return True

    expression = Expression()
    job = Job(name="P", steps=JOB.steps, node=expression)  # type: ignore[arg-type]
    with world_at(script.port, a_node("a", "x"), a_node("b", "x"), job) as world:
        for name in "ab":
            script.peer(f"{name}_exec-0").wait_for(Command.CAN_DO, 2)
        assert world.queue.health()["faults"] == 2
        assert len(script.peers) == 3
        assert expression.asked == 6


def test_what_was_said_before_a_flush_is_delivered_before_the_end(place: Place) -> None:
    """D78."""
    with world_at(place.port, a_node("n", executors=3), JOB) as world:
        caller = Caller(place)
        handles = [caller.submit("build:P", unique=f"u{number}") for number in range(3)]
        builds = world.builds.wait_for(3)
        world.queue.pause()
        for build in builds:
            world.builds.finish(build)
        assert world.queue.flush(20)
        world.queue.stop()
        assert {caller.end(handle)[0] for handle in handles} == {Command.WORK_COMPLETE}
        caller.close()


def test_of_two_managers_the_other_one_goes_on(place: Place) -> None:
    """D76. What the lost one had ends without a result, or is queued again."""
    proxy = way(place)
    with (
        world_at(proxy.port, NODE, JOB, manager="first") as first,
        world_at(place.port, a_node("m", executors=0), JOB, manager="second") as second,
    ):
        caller = Caller(place)
        handles = [caller.submit("build:P", unique=f"u{number}") for number in range(6)]
        first.builds.wait_for(1)
        second.builds.at_once = True
        proxy.cut()
        second.tell(a_node("m", executors=2))
        ends = [caller.end(handle)[0] for handle in handles]
        lost = Command.WORK_FAIL if expected(place, "a worker is gone") == "WORK_FAIL" else Command.WORK_COMPLETE
        assert ends == [lost] + [Command.WORK_COMPLETE] * 5
        caller.close()
    proxy.close()


def test_no_thread_is_left(place: Place) -> None:
    before = threading.active_count()
    with world_at(place.port, a_node("n", executors=5), JOB):
        assert threading.active_count() == before + 7
    assert threading.active_count() == before


def _ids(count: int) -> list[str]:
    return [f"n_exec-{index}" for index in range(count)]
