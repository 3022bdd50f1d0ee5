"""The machines of a manager over reloads, with real agents on this one."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.waiting import wait_until

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.remoting import Channel
from zuul_launcher.worker.definitions.job import NodeDefinition
from zuul_launcher.worker.fleet import Fleet
from zuul_launcher.worker.nodes import Machine, MachineSettings
from zuul_launcher.worker.parts import NodeLost

HERE = NodeDefinition(name="here", labels=frozenset({"linux"}), executors=2)
THERE = NodeDefinition(name="there")


class World:
    """What a fleet remembers, whom it tells, and which of its machines run builds."""

    def __init__(self, folder: Path) -> None:
        self.used: set[Machine] = set()
        self.remembered: dict[str, str | None] = {}
        self.at_withdrawal: Callable[[], None] = lambda: None
        self.after_look: Callable[[Machine], None] = lambda machine: None  # at what runs on a machine
        self.fleet = Fleet(
            MachineSettings(local_root=folder, delays=(0.05,), disk_free=0),
            offline={"there": "it is old"},
            remember=self.remembered.__setitem__,
            changed=lambda: None,
            withdrawn=lambda node: self.at_withdrawal(),
            is_used=self.is_used,
        )

    def is_used(self, machine: Machine) -> bool:
        found = machine in self.used
        self.after_look(machine)
        return found

    def wait_ready(self, name: str) -> Machine:
        wait_until(lambda: self.fleet.queue_nodes()[name].online, what=f"node {name}")
        return self.fleet.node(name)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.fleet.renew({"here": HERE, "there": THERE})
    yield world
    world.fleet.stop()


def test_nodes_are_told_to_the_queue_as_they_are(world: World) -> None:
    world.wait_ready("here")
    nodes = world.fleet.queue_nodes()
    assert (nodes["here"].labels, nodes["here"].executors) == (frozenset({"linux"}), 2)
    assert not nodes["there"].online
    assert world.fleet.node("there").reason == "it is old"
    with pytest.raises(NodeLost, match="there is no node 'nowhere'"):
        world.fleet.node("nowhere")


def test_a_node_that_only_gets_other_labels_keeps_its_connection(world: World) -> None:
    channel = world.wait_ready("here").channel()
    changed = NodeDefinition(name="here", labels=frozenset({"bsd"}), executors=5)
    world.fleet.renew({"here": changed, "there": THERE})
    assert world.fleet.node("here").channel() is channel
    assert world.fleet.queue_nodes()["here"].executors == 5


def test_a_node_that_is_reached_another_way_gets_a_new_connection_and_keeps_the_old_one_for_its_builds(
    world: World, tmp_path: Path
) -> None:
    old = world.wait_ready("here")
    world.used.add(old)
    world.fleet.renew({"here": NodeDefinition(name="here", root=str(tmp_path / "other"))})
    new = world.wait_ready("here")
    assert new is not old
    assert old.channel().is_open
    world.used.clear()
    world.fleet.look_after()
    with pytest.raises(NodeLost):
        old.channel()
    assert new.channel().is_open


def test_a_node_that_is_gone_takes_no_builds_and_ends_when_the_last_one_has(world: World) -> None:
    machine = world.wait_ready("here")
    world.used.add(machine)
    world.fleet.renew({"there": THERE})
    assert "here" not in world.fleet.queue_nodes()
    assert machine.channel().is_open
    world.used.clear()
    world.fleet.look_after()
    with pytest.raises(NodeLost):
        machine.channel()


def test_a_deleted_node_comes_back_at_the_next_reload(world: World) -> None:
    world.wait_ready("here")
    world.fleet.delete("here")
    assert "here" not in world.fleet.queue_nodes()
    world.fleet.renew({"here": HERE, "there": THERE})
    world.wait_ready("here")


def test_a_node_is_deleted_in_the_middle_of_its_taking_offline(world: World) -> None:
    """D74. Nothing is locked while the server is told."""
    machine = world.wait_ready("here")
    deleting = threading.Thread(target=world.fleet.delete, args=("here",), daemon=True)

    def delete() -> None:
        deleting.start()
        deleting.join(60)

    world.at_withdrawal = delete
    machine.take_offline("asked by Gearman")
    assert not deleting.is_alive()
    assert set(world.fleet.queue_nodes()) == {"there"}
    assert world.remembered == {"here": "asked by Gearman"}
    with pytest.raises(NodeLost):
        machine.channel()


def test_a_node_that_cannot_be_used_changes_nothing(world: World) -> None:
    machine = world.wait_ready("here")
    with pytest.raises(ConfigurationError, match="no user 'nobody-at-all'"):
        world.fleet.renew({"here": HERE, "new": NodeDefinition(name="new", user="nobody-at-all")})
    assert set(world.fleet.queue_nodes()) == {"here", "there"}
    assert machine.channel().is_open


def test_offline_is_remembered_for_a_node_that_is_made_anew(world: World, tmp_path: Path) -> None:
    world.wait_ready("here").take_offline("for repairs")
    assert world.remembered == {"here": "for repairs"}
    world.fleet.renew({"here": NodeDefinition(name="here", root=str(tmp_path / "other"))})
    assert world.fleet.node("here").reason == "for repairs"
    world.fleet.node("here").bring_online()
    assert world.remembered == {"here": None}


def test_idle_agents_are_let_go_and_connected_again_for_a_build(world: World) -> None:
    machine = world.wait_ready("here")
    channel = machine.channel()
    world.used.add(machine)
    world.fleet.release()
    assert channel.is_open
    world.used.clear()
    world.fleet.release()
    assert not channel.is_open
    assert world.fleet.queue_nodes()["here"].online
    assert machine.channel().is_open


def test_no_agent_is_taken_from_under_a_build_that_begins_while_idle_ones_are_let_go(world: World) -> None:
    machine = world.wait_ready("here")
    channels: list[Channel] = []

    def build() -> None:
        world.used.add(machine)
        channels.append(world.fleet.node("here").channel())

    building = threading.Thread(target=build, daemon=True)

    def begin(looked_at: Machine) -> None:
        if looked_at is machine:
            building.start()
            building.join(0.5)  # it may get its agent before this one is let go, or has to wait

    world.after_look = begin
    world.fleet.release()
    building.join(60)
    assert [channel.is_open for channel in channels] == [True]
    world.after_look = lambda machine: None
    world.fleet.release()
    assert channels[0].is_open
