"""All machines of a manager: made, kept and let go as nodes.yaml says, and told to the queue.

A node whose description changed gets a new connection; the old one is kept until the builds that run over it have
ended. A node that is gone, or was deleted by a person, takes no builds at once, and is let go the same way.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from zuul_launcher.worker.definitions.job import NodeDefinition
from zuul_launcher.worker.nodes import Machine, MachineSettings
from zuul_launcher.worker.parts import NodeLost
from zuul_launcher.worker.queue.functions import QueueNode, queue_node

log = logging.getLogger("zuul_launcher.worker.nodes")

# What may change without a new connection.
LIGHT = {"labels": frozenset[str](), "exclusive": False, "executors": 1, "env": {}}


class Fleet:
    """From any thread. `changed` is called when what `queue_nodes` says may have changed."""

    def __init__(
        self,
        settings: MachineSettings,
        *,
        offline: Mapping[str, str],
        remember: Callable[[str, str | None], None],
        changed: Callable[[], None],
        withdrawn: Callable[[str], None],
        is_used: Callable[[Machine], bool],
    ) -> None:
        """`offline`: node -> why, as it was remembered; `remember` stores that. `is_used`: does a build run there?"""
        self._settings = settings
        self._offline = dict(offline)
        self._store = remember
        self._changed = changed
        self._withdrawn = withdrawn
        self._is_used = is_used
        self._lock = threading.Lock()
        self._machines: dict[str, Machine] = {}
        self._leaving: list[Machine] = []
        self._release = threading.Condition()
        self._released: Machine | None = None  # its agent is being let go

    @property
    def machines(self) -> Mapping[str, Machine]:
        return self._machines

    @property
    def faults(self) -> int:
        """Of ours, of the machines there are."""
        return sum(machine.faults for machine in self._machines.values())

    def node(self, name: str) -> Machine:
        """Raises NodeLost: there is none of this name. Waits while its agent is let go."""
        machine = self._machines.get(name)
        if machine is None:
            raise NodeLost(f"there is no node {name!r}")
        with self._release:
            self._release.wait_for(lambda: self._released is not machine)
        return machine

    def renew(self, definitions: Mapping[str, NodeDefinition]) -> None:
        """From now on these. Raises ConfigurationError, and changes nothing, if one cannot be used."""
        with self._lock:
            old = self._machines
            new = {
                name: old[name]
                if name in old and _is_same(old[name].definition, definition)
                else self._make(definition)
                for name, definition in definitions.items()
            }
            for name, machine in new.items():
                machine.redefine(definitions[name])
            for machine in old.values():
                if machine not in new.values():
                    self._leave(machine)
            self._machines = new
            for name, machine in new.items():
                if old.get(name) is not machine:
                    machine.start()
        self._changed()
        self.look_after()

    def delete(self, name: str) -> None:
        """Let a node go until nodes.yaml is read again. Builds that run there end there."""
        with self._lock:
            machine = self.node(name)
            self._machines = {key: one for key, one in self._machines.items() if one is not machine}
            self._leave(machine)
        self._changed()
        self.look_after()

    def queue_nodes(self) -> dict[str, QueueNode]:
        return {
            name: replace(queue_node(machine.definition), online=machine.takes_builds, is_built_in=machine.is_built_in)
            for name, machine in self._machines.items()
        }

    def release(self) -> None:
        """Let go of agents that nobody needs; the next build connects them again.

        A build is known as one before it asks for its node: it is seen here, or waits there until this is done.
        """
        for machine in self._machines.values():
            with self._release:
                self._release.wait_for(lambda: self._released is None)
                if self._is_used(machine):
                    continue
                self._released = machine
            try:
                machine.park()
            finally:
                with self._release:
                    self._released = None
                    self._release.notify_all()

    def look_after(self) -> None:
        """Now and then: end the connections of nodes that are leaving and have no builds any more."""
        with self._lock:
            ended = [machine for machine in self._leaving if not self._is_used(machine)]
            self._leaving = [machine for machine in self._leaving if machine not in ended]
        for machine in ended:
            machine.stop()
            log.info("node %s is let go", machine.name)

    def stop(self) -> None:
        with self._lock:
            machines = [*self._machines.values(), *self._leaving]
        threads = [threading.Thread(target=machine.stop, daemon=True) for machine in machines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _leave(self, machine: Machine) -> None:
        machine.left_at = time.time()
        self._leaving.append(machine)

    def _make(self, definition: NodeDefinition) -> Machine:
        return Machine(
            definition,
            self._settings,
            offline=self._offline.get(definition.name),
            remember=lambda reason: self._remember(definition.name, reason),
            changed=self._changed,
            withdrawn=self._withdrawn,
        )

    def _remember(self, name: str, reason: str | None) -> None:
        if reason is not None:
            self._offline[name] = reason
        self._store(name, reason)
        if reason is None:
            self._offline.pop(name, None)


def _is_same(old: NodeDefinition, new: NodeDefinition) -> bool:
    """Reached the same way."""
    return replace(old, **LIGHT) == replace(new, **LIGHT)
