"""What is said to the server about functions: packet by packet to a scripted one, and as real ones understood it."""

import threading

import pytest
from support.gearman_wire import Place
from support.queue_world import MANAGER, Caller, ScriptedServer, a_job, a_node, offered, world_at
from support.waiting import wait_until

from zuul_launcher.gearman.server.packets import Command

CHANGES = (Command.CAN_DO, Command.CANT_DO, Command.RESET_ABILITIES)
MANY = [a_job(f"job-{number}") for number in range(1000)]


def test_a_connection_says_who_it_is_then_takes_all_back_then_offers(script: ScriptedServer) -> None:
    """D14."""
    with world_at(script.port, a_node("n", "linux"), a_job("P", "linux")):
        peer = script.peer("n_exec-0")
        peer.asleep()
    assert peer.received[:6] == [
        (Command.SET_CLIENT_ID, [b"n_exec-0"]),
        (Command.RESET_ABILITIES, [b""]),
        (Command.CAN_DO, [b"build:P"]),
        (Command.CAN_DO, [b"build:P:linux"]),
        (Command.GRAB_JOB_UNIQ, [b""]),
        (Command.PRE_SLEEP, [b""]),
    ]


def test_each_new_connection_begins_from_the_start(script: ScriptedServer) -> None:
    """D14."""
    with world_at(script.port, a_node("n"), a_job("P"), a_job("Q")) as world:
        script.peer("n_exec-0").asleep()
        world.forget("Q")
        world.settled()
        script.peer("n_exec-0").close()
        second = script.peer("n_exec-0", 2)
        second.asleep()
    assert second.commands()[:3] == [Command.SET_CLIENT_ID, Command.RESET_ABILITIES, Command.CAN_DO]
    assert second.names(Command.CAN_DO) == ["build:P"]


def test_one_job_more_is_one_packet_to_each_executor(script: ScriptedServer) -> None:
    """D12."""
    with world_at(script.port, a_node("n", executors=2), *MANY) as world:
        peers = [script.peer(f"n_exec-{index}") for index in range(2)]
        for peer in peers:
            peer.asleep()
            assert peer.count(Command.CAN_DO) == 1000
        world.tell(a_job("one-more"))
        world.settled()
        for peer in peers:
            peer.wait_for(Command.CAN_DO, 1001)
            assert peer.names(Command.CAN_DO)[-1] == "build:one-more"
            assert (peer.count(Command.CANT_DO), peer.count(Command.RESET_ABILITIES)) == (0, 1)


def test_one_job_less_is_one_packet_and_none_at_all_one_reset(script: ScriptedServer) -> None:
    """D13."""
    with world_at(script.port, a_node("n"), a_job("P"), a_job("Q"), a_job("R")) as world:
        peer = script.peer("n_exec-0")
        peer.asleep()
        world.forget("Q")
        peer.wait_for(Command.CANT_DO)
        assert peer.names(Command.CANT_DO) == ["build:Q"]
        assert peer.count(Command.RESET_ABILITIES) == 1
        world.forget("P", "R")
        peer.wait_for(Command.RESET_ABILITIES, 2)
        world.settled()
        assert peer.count(Command.CANT_DO) == 1


def test_many_changes_within_a_moment_are_one_difference(script: ScriptedServer) -> None:
    """D15."""
    with world_at(script.port, a_node("n"), a_job("P"), merge_seconds=3600.0) as world:
        peer = script.peer("n_exec-0")
        peer.asleep()
        for number in range(20):
            world.tell(a_job(f"extra-{number % 2}", disabled=number < 19), a_node("n", online=number % 2 == 1))
        assert world.queue.flush(20)
        peer.wait_for(Command.CAN_DO, 2)
        assert peer.commands(*CHANGES) == [Command.RESET_ABILITIES, Command.CAN_DO, Command.CAN_DO]
        assert peer.names(Command.CAN_DO) == ["build:P", "build:extra-1"]


def test_changes_are_sent_without_anybody_asking(script: ScriptedServer) -> None:
    """D15."""
    with world_at(script.port, a_node("n"), merge_seconds=0.1) as world:
        world.tell(a_job("P"))
        script.peer("n_exec-0").wait_for(Command.CAN_DO)


def test_a_change_is_sent_while_a_build_runs(script: ScriptedServer) -> None:
    with world_at(script.port, a_node("n"), a_job("P")) as world:
        peer = script.peer("n_exec-0")
        peer.asleep()
        peer.answers_grabs = False
        peer.send(Command.NOOP)
        peer.wait_for(Command.GRAB_JOB_UNIQ, 2)
        peer.assign("build:P")
        (build,) = world.builds.wait_for(1)
        world.tell(a_job("Q"))
        peer.wait_for(Command.CAN_DO, 2)
        world.builds.finish(build)
        peer.wait_for(Command.WORK_COMPLETE)


def test_a_disabled_job_is_offered_again_on_the_same_connection(place: Place) -> None:
    """D4."""
    with world_at(place.port, a_node("n", "x"), a_job("P", "x", disabled=True), a_job("Q")) as world:
        wait_until(lambda: offered(place).get("n_exec-0") == {"build:Q"})
        generation = _generation(world.queue)
        world.tell(a_job("P", "x"))
        wait_until(lambda: offered(place).get("n_exec-0") == {"build:P", "build:P:x", "build:Q"})
        assert _generation(world.queue) == generation


def test_a_node_that_comes_back_offers_what_it_did(place: Place) -> None:
    """D5."""
    with world_at(place.port, a_node("n", "x"), a_job("P", "x"), a_job("Q")) as world:
        wait_until(lambda: "n_exec-0" in offered(place))
        before = offered(place)
        world.tell(a_node("n", "x", online=False))
        wait_until(lambda: "n_exec-0" not in offered(place))
        world.tell(a_node("n", "x"))
        wait_until(lambda: offered(place) == before)


def test_connections_are_named_after_node_and_manager(place: Place) -> None:
    """D18."""
    built_in = a_node("here", is_built_in=True)
    with world_at(place.port, a_node("n", executors=2), built_in, a_job("P")) as world:
        wait_until(lambda: set(offered(place)) == {"n_exec-0", "n_exec-1", f"{MANAGER}_exec-0", f"{MANAGER}_manager"})
        assert set(world.queue.functions()) == set(offered(place))


def test_a_manager_without_executors_can_stop_and_describe(place: Place) -> None:
    """D19."""
    with world_at(place.port, a_node("n", executors=0), a_job("P")):
        functions = {f"stop:{MANAGER}", f"set_description:{MANAGER}"}
        wait_until(lambda: offered(place) == {f"{MANAGER}_manager": functions})


def test_no_moment_is_without_functions_while_the_same_is_loaded_again(place: Place) -> None:
    """D17."""
    with world_at(place.port, a_node("n"), a_job("P")) as world:
        wait_until(lambda: "n_exec-0" in offered(place))
        ended = threading.Event()
        seen: list[int] = []

        def look() -> None:
            wire = place.connect()
            while not ended.is_set():
                lines = [line.split("\t") for line in wire.ask_list("status")]
                seen.extend(int(workers) for name, _, _, workers in lines if name == "build:P")

        looking = threading.Thread(target=look)
        looking.start()
        for _ in range(50):
            world.tell(a_job("P"), a_node("n"))
            assert world.queue.flush(20)
        wait_until(lambda: len(seen) > 50)
        ended.set()
        looking.join()
    assert set(seen) == {1}


def test_a_paused_manager_offers_no_builds_but_stops_and_describes(place: Place) -> None:
    with world_at(place.port, a_node("n"), a_job("P")) as world:
        wait_until(lambda: len(offered(place)) == 2)
        before = offered(place)
        world.queue.pause()
        assert world.queue.flush(20)
        assert world.queue.health()["paused"]
        wait_until(lambda: set(offered(place)) == {f"{MANAGER}_manager"})
        world.queue.unpause()
        wait_until(lambda: offered(place) == before)


@pytest.mark.parametrize("label", ["", ":x"])
def test_a_job_that_was_queued_before_its_function_runs_on_a_worker_that_sleeps(place: Place, label: str) -> None:
    """D16."""
    with world_at(place.port, a_node("n", "x"), a_job("Q")) as world:
        caller = Caller(place)
        assert caller.submit(f"build:P{label}")
        world.builds.at_once = True
        world.tell(a_job("P", "x"))
        wait_until(lambda: len(world.builds.all) == 1)
        caller.close()


def _generation(queue: object) -> list[int]:
    return [one.generation for one in queue._executors.values()]  # type: ignore[attr-defined]
