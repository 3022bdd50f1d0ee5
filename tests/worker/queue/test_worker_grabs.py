"""Grabbing: one GRAB at a time, never more builds than executors, and none that is forgotten."""

import json
from collections import Counter

import pytest
from support.gearman_wire import Place
from support.queue_world import Caller, ScriptedServer, a_job, a_node, expected, offered, world_at
from support.waiting import wait_until

from zuul_launcher.gearman.server.packets import Command
from zuul_launcher.worker.queue.claim import Claim, NoSlot, NotInTime

WORK = (Command.WORK_DATA, Command.WORK_STATUS, Command.WORK_COMPLETE, Command.WORK_FAIL, Command.WORK_EXCEPTION)


def test_a_storm_of_noops_makes_one_grab_at_a_time(script: ScriptedServer) -> None:
    """D21."""
    with world_at(script.port, a_node("n"), a_job("P")):
        peer = script.peer("n_exec-0")
        peer.asleep()
        for _ in range(500):
            peer.send(Command.NOOP)
        peer.asleep(2)
        peer.answers_grabs = False
        peer.send(Command.NOOP)
        for _ in range(100):
            peer.send(Command.NOOP)
        before = peer.count(Command.GRAB_JOB_UNIQ)
        peer.send(Command.NO_JOB)
        peer.asleep(before)
        assert peer.most_grabs == 1


def test_executors_of_a_node_grab_one_after_the_other(script: ScriptedServer) -> None:
    """D21. A4: one turn a node."""
    script.answers_grabs = False
    with world_at(script.port, a_node("n", executors=2)) as world:
        peers = [script.peer(f"n_exec-{index}") for index in range(2)]
        for peer in peers:
            peer.wait_for(Command.GRAB_JOB_UNIQ)
            peer.send(Command.NO_JOB)
            peer.asleep()
        world.tell(a_job("P"))
        wait_until(lambda: sum(peer.count(Command.GRAB_JOB_UNIQ) for peer in peers) == 3)
        for peer in peers:
            peer.wait_for(Command.CAN_DO)
        first, second = sorted(peers, key=lambda peer: peer.count(Command.GRAB_JOB_UNIQ), reverse=True)
        assert second.count(Command.GRAB_JOB_UNIQ) == 1
        first.assign("build:P")
        second.wait_for(Command.GRAB_JOB_UNIQ, 2)
        second.send(Command.NO_JOB)
        (build,) = world.builds.wait_for(1)
        world.builds.finish(build)
        first.wait_for(Command.GRAB_JOB_UNIQ, 3)
        first.send(Command.NO_JOB)


def test_a_node_with_one_executor_runs_all_in_order_and_never_two(place: Place) -> None:
    """D22."""
    with world_at(place.port, a_node("n"), a_job("P")) as world:
        caller = Caller(place)
        world.builds.at_once = True
        handles = [caller.submit("build:P", unique=f"u{number}") for number in range(5)]
        assert {caller.end(handle)[0] for handle in handles} == {Command.WORK_COMPLETE}
        assert world.builds.uniques() == [f"u{number}" for number in range(5)]
        assert world.builds.most_running["n"] == 1
        caller.close()


def test_as_many_builds_run_as_there_are_executors_and_the_next_waits_in_the_queue(place: Place) -> None:
    """D23."""
    with world_at(place.port, a_node("n", executors=4), a_job("P")) as world:
        caller = Caller(place)
        handles = [caller.submit("build:P", unique=f"u{number}") for number in range(5)]
        builds = world.builds.wait_for(4)
        wait_until(lambda: _status(place, "build:P")[:2] == (5, 4))
        assert {build.slot.index for build in builds} == {0, 1, 2, 3}
        world.builds.finish(builds[2])
        wait_until(lambda: len(world.builds.all) == 5)
        assert world.builds.all[4].slot.index == builds[2].slot.index
        for build in world.builds.running:
            world.builds.finish(build)
        assert {caller.end(handle)[0] for handle in handles} == {Command.WORK_COMPLETE}
        assert world.builds.most_running["n"] == 4
        caller.close()


def test_no_executor_is_idle_while_a_job_that_it_can_run_is_queued(place: Place) -> None:
    """D24."""
    nodes = [a_node(f"n{number}", executors=5) for number in range(10)]
    with world_at(place.port, *nodes, a_job("P")) as world:
        caller = Caller(place)
        for number in range(200):
            caller.submit("build:P", unique=f"u{number}")
        for done in range(0, 200, 50):
            builds = world.builds.wait_for(min(50, 200 - done))
            assert Counter(one.assignment.node for one in builds) == {node.name: 5 for node in nodes}
            for build in builds:
                world.builds.finish(build)
        wait_until(lambda: len(world.builds.all) == 200 and not world.builds.running)
        assert sorted(world.builds.uniques()) == sorted(f"u{number}" for number in range(200))
        caller.close()


def test_a_build_by_hand_on_the_last_executor_keeps_jobs_in_the_queue(place: Place) -> None:
    """D25."""
    with world_at(place.port, a_node("n", executors=2), a_job("P")) as world:
        caller = Caller(place)
        handles = [caller.submit("build:P", unique="first")]
        (first,) = world.builds.wait_for(1)
        slot = world.queue.reserve(lambda node: node.name == "n", 20.0)
        assert {slot.index, first.slot.index} == {0, 1}
        handles.append(caller.submit("build:P", unique="second"))
        world.tell(a_job("Q"))  # wakes all
        world.settled()
        assert _status(place, "build:P")[:2] == (2, 1)
        slot.release()
        _, second = world.builds.wait_for(2)
        assert second.assignment.unique == "second"
        world.builds.finish(first)
        world.builds.finish(second)
        assert {caller.end(handle)[0] for handle in handles} == {Command.WORK_COMPLETE}
        caller.close()


def test_a_worker_that_waits_for_an_executor_sleeps_when_nothing_is_left_to_offer(script: ScriptedServer) -> None:
    """D71: asleep it is probed; awake and waiting for its turn nobody would see the connection die."""
    with world_at(script.port, a_node("n")) as world:
        peer = script.peer("n_exec-0")
        peer.asleep()
        slot = world.queue.reserve(lambda node: True, 20.0)
        world.tell(a_job("P"))
        peer.wait_for(Command.CAN_DO)
        assert peer.count(Command.GRAB_JOB_UNIQ) == 1
        world.forget("P")
        peer.asleep(2)
        world.tell(a_job("P"))
        peer.wait_for(Command.CAN_DO, 2)
        assert peer.count(Command.GRAB_JOB_UNIQ) == 2
        slot.release()
        peer.asleep(3)


def test_a_build_by_hand_needs_a_node_that_is_online_and_free(script: ScriptedServer) -> None:
    with world_at(script.port, a_node("n"), a_node("away", online=False), a_job("P")) as world:
        with pytest.raises(NoSlot, match="online"):
            world.queue.reserve(lambda node: node.name == "away", 0.1)
        slot = world.queue.reserve(lambda node: True, 20.0)
        assert slot.node == "n"
        with pytest.raises(NoSlot, match="free within"):
            world.queue.reserve(lambda node: True, 0.1)


def test_builds_by_hand_get_an_executor_in_the_order_of_asking_however_often_they_ask(script: ScriptedServer) -> None:
    with world_at(script.port, a_node("n"), a_job("P")) as world, Claim() as first, Claim() as second:
        slot = world.queue.reserve(lambda node: True, 20.0)
        for claim in (first, second, first):
            with pytest.raises(NotInTime):
                world.queue.reserve(lambda node: True, 0.05, claim)
        slot.release()
        with pytest.raises(NotInTime):
            world.queue.reserve(lambda node: True, 0.05, second)
        slot = world.queue.reserve(lambda node: True, 20.0, first)
        slot.release()
        assert world.queue.reserve(lambda node: True, 20.0, second).node == "n"


@pytest.mark.parametrize("function", ["build:unheard-of", "build:P:strange", "nonsense", ""])
def test_a_function_that_was_not_offered_is_failed_and_the_next_job_runs(script: ScriptedServer, function: str) -> None:
    """D26."""
    script.answers_grabs = False
    with world_at(script.port, a_node("n"), a_job("P")) as world:
        peer = script.peer("n_exec-0")
        peer.wait_for(Command.GRAB_JOB_UNIQ)
        peer.assign(function, "H:1")
        peer.wait_for(Command.GRAB_JOB_UNIQ, 2)
        assert peer.names(Command.WORK_FAIL) == ["H:1"]
        peer.assign("build:P", "H:2")
        world.builds.finish(world.builds.wait_for(1)[0])
        peer.wait_for(Command.WORK_COMPLETE)
        assert len(world.builds.all) == 1
        peer.wait_for(Command.GRAB_JOB_UNIQ, 3)
        peer.send(Command.NO_JOB)


def test_a_job_that_was_not_asked_for_is_failed_and_the_one_that_was_goes_on(script: ScriptedServer) -> None:
    """D21. No server should do it; it would wait for the first to end, unseen."""
    script.answers_grabs = False
    with world_at(script.port, a_node("n", executors=1), a_job("P")) as world:
        peer = script.peer("n_exec-0")
        peer.wait_for(Command.GRAB_JOB_UNIQ)
        peer.assign("build:P", "H:1", "u1")
        peer.assign("build:P", "H:2", "u2")
        peer.wait_for(Command.WORK_FAIL)
        world.builds.finish(world.builds.wait_for(1)[0])
        peer.wait_for(Command.GRAB_JOB_UNIQ, 2)
        peer.send(Command.NO_JOB)
        peer.asleep()
        assert (peer.names(Command.WORK_FAIL), peer.names(Command.WORK_COMPLETE)) == (["H:2"], ["H:1"])
        assert world.builds.uniques() == ["u1"]


def test_a_job_that_was_on_its_way_when_it_was_disabled_is_run(script: ScriptedServer) -> None:
    """A5: late assignment. Its function is taken back after its end: gearmand would queue it anew."""
    script.answers_grabs = False
    with world_at(script.port, a_node("n"), a_job("P"), a_job("Q")) as world:
        peer = script.peer("n_exec-0")
        peer.wait_for(Command.GRAB_JOB_UNIQ)
        world.tell(a_job("P", disabled=True), a_job("Q", disabled=True))
        assert world.queue.flush(20, "another")
        peer.assign("build:P")
        (build,) = world.builds.wait_for(1)
        peer.wait_for(Command.CANT_DO)
        assert peer.names(Command.CANT_DO) == ["build:Q"]
        world.builds.finish(build)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 2)
        kinds = (Command.CANT_DO, Command.RESET_ABILITIES, Command.WORK_COMPLETE, Command.GRAB_JOB_UNIQ)
        assert peer.commands(*kinds)[2:] == [*kinds[:1], kinds[2], kinds[1], kinds[3]]
        peer.assign("build:P", "H:2", "u2")
        peer.wait_for(Command.WORK_FAIL)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 3)
        peer.send(Command.NO_JOB)
        peer.asleep()


def test_a_job_whose_definition_went_while_it_was_on_its_way_is_failed(script: ScriptedServer) -> None:
    """A5: definition is gone."""
    script.answers_grabs = False
    with world_at(script.port, a_node("n"), a_job("P")) as world:
        peer = script.peer("n_exec-0")
        peer.wait_for(Command.GRAB_JOB_UNIQ)
        world.forget("P")
        assert world.queue.flush(20, "another")
        peer.assign("build:P")
        peer.wait_for(Command.WORK_FAIL)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 2)
        peer.send(Command.NO_JOB)
        assert world.builds.all == []


def test_functions_that_change_while_a_grab_is_unanswered_follow_the_answer(script: ScriptedServer) -> None:
    """A3, A5. The server announces what was queued for a new function when the worker falls asleep after that."""
    script.answers_grabs = False
    with world_at(script.port, a_node("n"), a_job("P")) as world:
        peer = script.peer("n_exec-0")
        peer.wait_for(Command.GRAB_JOB_UNIQ)
        world.forget("P")
        world.tell(a_job("Q"))
        assert world.queue.flush(20, "another")
        peer.send(Command.NO_JOB)
        peer.asleep()
        assert peer.commands()[-4:] == [Command.GRAB_JOB_UNIQ, Command.CANT_DO, Command.CAN_DO, Command.PRE_SLEEP]


def test_taking_functions_back_does_not_queue_a_running_job_anew(place: Place) -> None:
    """D5. gearmand does that if the running job's function is among them."""
    with world_at(place.port, a_node("n"), a_job("P"), a_job("Q")) as world:
        caller = Caller(place)
        handle = caller.submit("build:P", unique="u")
        (build,) = world.builds.wait_for(1)
        world.tell(a_node("n", online=False))
        world.settled()
        world.tell(a_node("n"))
        world.settled()
        world.forget("P")
        world.settled()
        world.builds.finish(build)
        assert caller.end(handle) == (Command.WORK_COMPLETE, build.final)
        wait_until(lambda: offered(place).get("n_exec-0") == {"build:Q"})
        assert len(world.builds.assignments) == 1
        caller.close()


def test_flush_waits_for_the_answer_to_a_grab(script: ScriptedServer) -> None:
    """D77: once it is paused and flushed, no job comes."""
    script.answers_grabs = False
    with world_at(script.port, a_node("away", executors=0), a_job("P")) as world:
        world.tell(a_node("n"))
        peer = script.peer("n_exec-0")
        peer.wait_for(Command.GRAB_JOB_UNIQ)
        world.queue.pause()
        assert not world.queue.flush(0.2)
        assert world.queue.flush(20, "away")
        peer.assign("build:P")
        (build,) = world.builds.wait_for(1)
        assert world.queue.flush(20)
        world.builds.finish(build)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 2)
        peer.send(Command.NO_JOB)
        assert world.queue.flush(20)
        assert peer.names(Command.WORK_COMPLETE) == ["H:1"]


def test_the_last_packets_of_a_build_come_before_the_next_grab(script: ScriptedServer) -> None:
    """D46."""
    with world_at(script.port, a_node("n"), a_job("P")) as world:
        peer = script.peer("n_exec-0")
        peer.asleep()
        peer.answers_grabs = False
        peer.send(Command.NOOP)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 2)
        mark = len(peer.received)
        peer.assign("build:P", "H:7")
        (build,) = world.builds.wait_for(1)
        world.builds.finish(build)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 3)
        peer.send(Command.NO_JOB)
        said = peer.received[mark : mark + 5]
    assert [command for command, _ in said] == [
        Command.WORK_DATA,
        Command.WORK_STATUS,
        Command.WORK_DATA,
        Command.WORK_COMPLETE,
        Command.GRAB_JOB_UNIQ,
    ]
    assert said[1][1] == [b"H:7", b"0", b"100"]
    assert said[2][1] == said[3][1] == [b"H:7", build.final]


def test_after_its_end_a_build_says_nothing(script: ScriptedServer) -> None:
    with world_at(script.port, a_node("n"), a_job("P")) as world:
        peer = script.peer("n_exec-0")
        peer.asleep()
        peer.answers_grabs = False
        peer.send(Command.NOOP)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 2)
        peer.assign("build:P", "H:1")
        (first,) = world.builds.wait_for(1)
        world.builds.finish(first)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 3)
        peer.assign("build:P", "H:2", "u2")
        (second,) = world.builds.wait_for(1)
        first.delivery.complete(b"again")
        first.delivery.fail()
        world.builds.finish(second)
        peer.wait_for(Command.WORK_COMPLETE, 2)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 4)
        peer.send(Command.NO_JOB)
        assert peer.names(Command.WORK_COMPLETE) == ["H:1", "H:2"]
        assert peer.count(Command.WORK_FAIL) == 0


def test_a_build_that_cannot_begin_is_an_exception_and_the_next_job_runs(place: Place) -> None:
    """D27."""
    with world_at(place.port, a_node("n"), a_job("P")) as world:
        caller = Caller(place)
        world.builds.at_once = True
        world.builds.faults.append(ValueError("the payload is no JSON"))
        command, data = caller.run("build:P", b"[")
        if expected(place, "an exception reaches a client that did not ask for them"):
            assert (command, b"the payload is no JSON" in data) == (Command.WORK_EXCEPTION, True)
        else:
            assert (command, data) == (Command.WORK_FAIL, b"")
        assert caller.run("build:P")[0] == Command.WORK_COMPLETE
        assert world.queue.health()["executors_busy"] == 0
        caller.close()


def test_what_the_client_sent_arrives_byte_by_byte(place: Place) -> None:
    """D28. D30."""
    with world_at(place.port, a_node("n", "x"), a_job("P", "x")) as world:
        caller = Caller(place)
        world.builds.at_once = True
        payload = json.dumps({"text": "one\ntwo\x00 ä"}, ensure_ascii=False).encode() + b"\0\n"
        caller.run("build:P:x", payload, "the-id")
        (given,) = world.builds.assignments
        assert (given.job, given.label, given.unique, given.payload) == ("P", "x", "the-id", payload)
        assert (given.worker, given.node) == ("n_exec-0", "n")
        caller.run("build:P", b"", "")
        assert world.builds.assignments[1].payload == b""
        caller.close()


def test_a_build_that_keeps_others_out_is_alone_to_come(place: Place) -> None:
    """D61. D62."""
    with world_at(place.port, a_node("n", executors=3), a_job("P"), a_job("last")) as world:
        world.builds.alone.add("last")
        caller = Caller(place)
        handles = [caller.submit("build:P", unique="before")]
        world.builds.wait_for(1)
        handles.append(caller.submit("build:last", unique="last"))
        sibling, alone = world.builds.wait_for(2)
        caller.submit("build:P", unique="after")
        world.builds.finish(sibling)
        assert caller.end(handles[0])[0] == Command.WORK_COMPLETE
        world.tell(a_node("n", executors=3, online=False))  # as the node's taking offline does
        assert world.queue.flush(20, "n")
        world.builds.finish(alone)
        assert caller.end(handles[1])[0] == Command.WORK_COMPLETE
        assert _status(place, "build:P")[:2] == (1, 0)
        assert world.builds.uniques() == ["before", "last"]
        caller.close()


def _status(place: Place, function: str) -> tuple[int, int, int]:
    """Jobs, running ones among them, and workers."""
    wire = place.connect()
    lines = [line.split("\t") for line in wire.ask_list("status")]
    wire.close()
    found = [tuple(map(int, numbers)) for name, *numbers in lines if name == function]
    return found[0] if found else (0, 0, 0)  # type: ignore[return-value]
