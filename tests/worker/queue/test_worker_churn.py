"""Nodes that come and go while builds run: one connection for each executor in the end, and nothing hangs."""

import random
import threading

import pytest
from support.gearman_wire import Place
from support.queue_world import MANAGER, Caller, ScriptedServer, World, a_job, a_node, offered, world_at
from support.waiting import wait_until

from zuul_launcher.gearman.server.packets import Command
from zuul_launcher.worker.queue.claim import NoSlot
from zuul_launcher.worker.queue.functions import QueueNode

JOB = a_job("P")


def test_a_node_that_is_removed_sends_its_last_result_before_its_connection_ends(place: Place) -> None:
    """D60. A17: the connection was closed before the result was out."""
    with world_at(place.port, a_node("n"), JOB) as world:
        caller = Caller(place)
        handle = caller.submit("build:P", unique="u")
        (build,) = world.builds.wait_for(1)
        world.forget("n")
        world.settled()
        assert world.queue.health()["executors"] == 1
        world.builds.finish(build)
        assert caller.end(handle) == (Command.WORK_COMPLETE, build.final)
        wait_until(lambda: world.queue.health()["executors"] == 0)
        wait_until(lambda: set(offered(place)) == {f"{MANAGER}_manager"})
        caller.close()


def test_a_node_that_comes_back_meanwhile_keeps_its_connection_and_its_build(place: Place) -> None:
    with world_at(place.port, a_node("n"), JOB) as world:
        caller = Caller(place)
        handle = caller.submit("build:P", unique="u")
        (build,) = world.builds.wait_for(1)
        world.forget("n")
        world.settled()
        world.tell(a_node("n"))
        world.settled()
        second = caller.submit("build:P", unique="second")
        assert world.builds.running == [build]
        world.builds.at_once = True
        world.builds.finish(build)
        assert {caller.end(one)[0] for one in (handle, second)} == {Command.WORK_COMPLETE}
        assert world.builds.most_running["n"] == 1
        assert world.queue.health()["executors"] == 1
        caller.close()


def test_a_node_that_is_removed_twice_keeps_its_connection_until_its_last_build_is_over(place: Place) -> None:
    """That it was idle after the first removal says nothing at the second one."""
    with world_at(place.port, a_node("n"), JOB, merge_seconds=3600.0) as world:
        caller = Caller(place)
        first = caller.submit("build:P", unique="first")
        (build,) = world.builds.wait_for(1)
        world.forget("n")
        world.settled()
        world.tell(a_node("n"))
        world.settled()
        world.builds.finish(build)
        assert caller.end(first)[0] == Command.WORK_COMPLETE
        second = caller.submit("build:P", unique="second")
        (build,) = world.builds.wait_for(1)
        world.forget("n")
        world.settled()
        world.builds.finish(build)
        assert caller.end(second) == (Command.WORK_COMPLETE, build.final)
        caller.close()


def test_a_node_that_comes_back_while_its_grab_is_unanswered_has_no_executor_twice(script: ScriptedServer) -> None:
    """D25."""
    script.answers_grabs = False
    with world_at(script.port, a_node("n"), JOB) as world:
        peer = script.peer("n_exec-0")
        peer.wait_for(Command.GRAB_JOB_UNIQ)
        for step in (lambda: world.forget("n"), lambda: world.tell(a_node("n"))):
            step()
            assert world.queue.flush(20, "another")
        with pytest.raises(NoSlot):
            world.queue.reserve(lambda node: True, 0.1)
        peer.send(Command.NO_JOB)
        peer.asleep()
        assert world.queue.reserve(lambda node: True, 20.0).index == 0
        assert len(script.peers) == 2


def test_a_node_that_comes_back_has_no_executor_free_that_a_build_still_uses(script: ScriptedServer) -> None:
    """D25. Its connections are gone meanwhile."""
    with world_at(script.port, a_node("n"), JOB) as world:
        slot = world.queue.reserve(lambda node: True, 20.0)
        world.forget("n")
        wait_until(lambda: world.queue.health()["executors"] == 0)
        world.tell(a_node("m", executors=0))
        world.settled()
        world.tell(a_node("n"))
        with pytest.raises(NoSlot):
            world.queue.reserve(lambda node: True, 0.1)
        slot.release()
        assert world.queue.reserve(lambda node: True, 20.0).index == 0


def test_a_node_is_removed_while_a_build_of_it_takes_it_offline(place: Place) -> None:
    """D74."""
    with world_at(place.port, a_node("n", executors=2), JOB) as world:
        caller = Caller(place)
        world.builds.alone.add("P")
        handle = caller.submit("build:P", unique="u")
        (build,) = world.builds.wait_for(1)

        def end_offline() -> None:
            world.tell(a_node("n", executors=2, online=False))
            assert world.queue.flush(20, "n")
            world.builds.finish(build)

        ending = threading.Thread(target=end_offline)
        ending.start()
        removing = threading.Thread(target=lambda: world.queue.update({}, {}))
        removing.start()
        for thread in (ending, removing):
            thread.join(20)
            assert not thread.is_alive()
        assert caller.end(handle)[0] == Command.WORK_COMPLETE
        world.forget("n")
        wait_until(lambda: world.queue.health()["executors"] == 0)
        caller.close()


def test_fewer_executors_end_with_their_builds(place: Place) -> None:
    with world_at(place.port, a_node("n", executors=3), JOB) as world:
        caller = Caller(place)
        handles = [caller.submit("build:P", unique=f"u{number}") for number in range(4)]
        builds = world.builds.wait_for(3)
        world.tell(a_node("n", executors=1))
        world.settled()
        for build in builds[:2]:
            world.builds.finish(build)
        world.settled()
        assert world.builds.running == [builds[2]]
        world.builds.at_once = True
        world.builds.finish(builds[2])
        assert {caller.end(handle)[0] for handle in handles} == {Command.WORK_COMPLETE}
        wait_until(lambda: set(offered(place)) == {f"{MANAGER}_manager", "n_exec-0"})
        caller.close()


@pytest.mark.parametrize("seed", range(2))
def test_after_a_thousand_changes_there_is_one_worker_for_each_executor(place: Place, seed: int) -> None:
    """D75."""
    choices = random.Random(seed)
    before = threading.active_count()
    with world_at(place.port, a_node("a"), JOB, merge_seconds=0.0) as world:
        caller = Caller(place)
        submitted = 0
        for _ in range(1000):
            _change(choices, world)
            if choices.random() < 0.2:
                world.queue.flush(0.01)
            if choices.random() < 0.05:
                caller.submit("build:P", unique=f"u{submitted}")
                submitted += 1
            for build in world.builds.running:
                if choices.random() < 0.2:
                    world.builds.finish(build)
        world.builds.at_once = True
        world.queue.unpause()
        world.tell(*(a_node(name, executors=2) for name in "abc"))
        for build in world.builds.running:
            world.builds.finish(build)
        world.connected()
        ids = sorted([f"{MANAGER}_manager", *(f"{name}_exec-{index}" for name in "abc" for index in range(2))])
        wait_until(lambda: _clients(place) == ids)
        wait_until(lambda: len(world.builds.all) == submitted and not world.builds.running)
        assert len(set(world.builds.uniques())) == submitted
        assert max(world.builds.most_running.values(), default=0) <= 3
        wait_until(lambda: threading.active_count() <= before + 8)
        assert world.queue.health()["faults"] == 0
        caller.close()
    assert threading.active_count() == before


def _change(choices: random.Random, world: World) -> None:
    """One event: a node starts, stops, goes offline or comes back; all are paused or not."""
    name = choices.choice("abc")
    match choices.randrange(6):
        case 0 | 1 if name in world.nodes:
            world.forget(name)
        case 2 if name in world.nodes:
            old: QueueNode = world.nodes[name]
            world.tell(a_node(name, executors=old.executors, online=not old.online))
        case 3:
            (world.queue.pause if choices.random() < 0.5 else world.queue.unpause)()
        case _:
            world.tell(a_node(name, executors=choices.randrange(1, 4)))


def _clients(place: Place) -> list[str]:
    """Client ids of all workers, each as often as it is connected."""
    wire = place.connect()
    heads = [line.partition(" :") for line in wire.ask_list("workers")]
    wire.close()
    return sorted(head.split(" ", 2)[2].strip() for head, _, functions in heads if functions.split())
