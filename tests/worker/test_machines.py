"""The machines of the worker, with real agents on this one."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.waiting import free_port, wait_until

from zuul_launcher.errors import ConfigurationError, RemoteUnavailable
from zuul_launcher.worker.definitions.job import NodeDefinition
from zuul_launcher.worker.nodes import Machine, MachineSettings
from zuul_launcher.worker.parts import NodeLost


class Site:
    """A folder for machines, what they remember, and how often they told of a change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remembered: dict[str, str | None] = {}
        self.changes = 0
        self.withdrawn: list[str] = []
        self.is_memory_gone = False
        self.faults_to_come = 0

    @contextmanager
    def machine(self, definition: NodeDefinition | None = None, **settings: Any) -> Iterator[Machine]:
        definition = definition or NodeDefinition(name="here", labels=frozenset({"linux"}))
        machine = Machine(
            definition,
            MachineSettings(**({"local_root": self.folder, "delays": (0.05,), "disk_free": 0} | settings)),
            offline=self.remembered.get(definition.name),
            remember=lambda reason: self._remember(definition.name, reason),
            changed=self._count,
            withdrawn=self.withdrawn.append,
        )
        machine.start()
        try:
            yield machine
        finally:
            machine.stop()

    def _remember(self, name: str, reason: str | None) -> None:
        if self.is_memory_gone:
            raise RemoteUnavailable("no database")
        self.remembered[name] = reason

    def _count(self) -> None:
        self.changes += 1
        if self.faults_to_come:
            self.faults_to_come -= 1
            raise KeyError("a fault of ours")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_machine_connects_by_itself_and_has_a_folder_for_workspaces(site: Site) -> None:
    with site.machine() as machine:
        wait_until(lambda: machine.takes_builds, what="its agent")
        assert machine.labels == {"here", "linux"}
        assert machine.channel().call(os.getpid) != os.getpid()
        assert Path(str(machine.root())).is_dir()
        assert str(machine.root()) == str(site.folder / "here")
    assert site.changes > 0
    with pytest.raises(NodeLost, match="the worker is stopping"):
        machine.channel()


def test_a_machine_whose_agent_is_killed_takes_no_builds_until_it_is_connected_again(site: Site) -> None:
    with site.machine() as machine:
        wait_until(lambda: machine.takes_builds, what="its agent")
        seen: list[str] = []
        first = machine.channel()
        first.on_close(lambda cause: seen.append(machine.state))
        os.kill(first.call(os.getpid), signal.SIGKILL)
        wait_until(lambda: machine.takes_builds and machine.channel() is not first, what="another agent")
        wait_until(lambda: seen, what="the news of the loss")
        assert site.changes >= 3  # connected, lost, connected


def test_a_machine_that_was_taken_offline_stays_so_over_a_restart(site: Site) -> None:
    """D63."""
    with site.machine() as machine:
        wait_until(lambda: machine.takes_builds, what="its agent")
        machine.take_offline("asked by Gearman")
        assert (machine.state, machine.reason) == ("offline", "asked by Gearman")
        assert site.withdrawn == ["here"]
        assert machine.channel().is_open  # a build that runs there goes on
    with site.machine() as machine:
        machine.root()
        assert (machine.state, machine.reason) == ("offline", "asked by Gearman")
        machine.bring_online()
        wait_until(lambda: machine.takes_builds, what="the end of its offline time")
    assert site.remembered == {"here": None}


def test_a_machine_without_room_on_its_disk_takes_no_builds(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with site.machine(disk_free=1 << 60) as machine:
        wait_until(lambda: machine.state == "unhealthy", what="a look at its disk")
        assert "MiB left" in machine.reason
        assert f"node {machine.name}: {machine.reason}" in caplog.messages


def test_a_parked_machine_takes_builds_and_connects_for_them(site: Site) -> None:
    with site.machine() as machine:
        wait_until(lambda: machine.takes_builds, what="its agent")
        agent = machine.channel().call(os.getpid)
        machine.park()
        assert machine.takes_builds
        wait_until(lambda: not Path(f"/proc/{agent}").exists(), what="the end of its agent")
        assert machine.channel().call(os.getpid) != agent


def test_a_parked_machine_that_cannot_be_connected_takes_no_more_builds(site: Site) -> None:
    """Else each build would be given to it, and have no result."""
    python = site.folder / "python"
    python.symlink_to(sys.executable)
    with site.machine(NodeDefinition(name="here", python=str(python))) as machine:
        wait_until(lambda: machine.takes_builds, what="its agent")
        machine.park()
        python.unlink()
        with pytest.raises(NodeLost):
            machine.channel()
        assert machine.state == "disconnected"
        python.symlink_to(sys.executable)
        wait_until(lambda: machine.takes_builds, what="its agent")


def test_a_machine_that_is_parked_while_it_is_lost_is_connected_again(site: Site) -> None:
    python = site.folder / "python"
    with site.machine(NodeDefinition(name="here", python=str(python))) as machine:
        wait_until(lambda: str(python) in machine.reason, what="a try to connect it")
        machine.park()
        python.symlink_to(sys.executable)
        wait_until(lambda: machine.takes_builds, what="its agent")


def test_a_fault_of_ours_ends_no_machine_and_is_counted(site: Site) -> None:
    site.faults_to_come = 1
    with site.machine() as machine:
        wait_until(lambda: machine.takes_builds, what="its agent, all the same")
        assert machine.faults == 1


def test_a_machine_goes_offline_even_if_nobody_can_remember_it(site: Site) -> None:
    """A node that is good for one build only must not be given a second one."""
    with site.machine() as machine:
        wait_until(lambda: machine.takes_builds, what="its agent")
        site.is_memory_gone = True
        with pytest.raises(RemoteUnavailable):
            machine.take_offline("asked by Gearman")
        assert machine.state == "offline"
        assert site.withdrawn == ["here"]


def test_a_machine_that_cannot_be_reached_says_why_and_is_tried_again(site: Site) -> None:
    definition = NodeDefinition(name="far", host="127.0.0.1", port=free_port(), user="nobody", host_key="")
    with site.machine(definition) as machine:
        wait_until(lambda: machine.reason.startswith("no SSH connection"), what="its failure")
        assert machine.state == "disconnected"
        with pytest.raises(NodeLost, match=r"node far: .*no SSH connection"):
            machine.root()


def test_a_machine_of_an_unknown_user_is_refused(site: Site) -> None:
    definition = NodeDefinition(name="here", user="nobody-has-this-name")
    with pytest.raises(ConfigurationError, match="nobody-has-this-name"), site.machine(definition):
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run builds as another user")
def test_builds_of_a_machine_run_as_its_user(site: Site) -> None:
    for folder in (site.folder, *site.folder.parents[:3]):
        folder.chmod(0o755)
    with site.machine(NodeDefinition(name="here", user="nobody")) as machine:
        channel = machine.channel()
        assert channel.call(os.getuid) != 0
        assert channel.call(os.getenv, "USER") == "nobody"
        machine.root().temp_dir()
