"""A manager's builds with real steps on this machine, and all that they meet: nodes, clients, slots, a memory."""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import structs
from support.waiting import SECONDS, wait_until

from zuul_launcher.remoting import Channel, LocalChannel, connect_subprocess
from zuul_launcher.remoting.errors import RemotingError
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.worker.builds.builds import Builds
from zuul_launcher.worker.builds.limits import Identity, Limits
from zuul_launcher.worker.definitions.job import Definitions, Job, NodeDefinition, Shell
from zuul_launcher.worker.parts import Assignment, BuildRecord, NodeLost, UnknownBuild
from zuul_launcher.worker.places import BuildFolder, build_folder

QUICK = Limits(
    kill_grace=5.0, shutdown_grace=2.0, output_patience=0.3, fetch_pauses=(0.05, 0.05), busy_pause=0.05,
    store_pauses=(0.01,), watch_interval=0.02, connect_timeout=20.0,
)  # fmt: skip


class MemoryHistory:
    """`parts.History`, until the process ends."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], BuildRecord] = {}
        self.failures: list[Exception] = []  # of the next calls of finish
        self._lock = threading.Lock()
        self._last: dict[str, int] = {}

    def begin(self, record: BuildRecord) -> BuildRecord:
        with self._lock:
            number = self._last[record.job] = self._last.get(record.job, 0) + 1
            lasted = [
                each.finished_at - each.started_at
                for each in self.records.values()
                if each.job == record.job and each.result == "SUCCESS" and each.finished_at is not None
            ]
            estimated = round(1000 * sum(lasted) / len(lasted)) if lasted else None
            found = structs.replace(record, number=number, estimated=estimated)
            self.records[record.job, number] = found
            return found

    def finish(self, record: BuildRecord) -> None:
        with self._lock:
            if self.failures:
                raise self.failures.pop()
            self.records[record.job, record.number] = structs.replace(
                record, description=self.records[record.job, record.number].description
            )

    def describe(self, job: str, number: int, html: str) -> None:
        with self._lock:
            if (job, number) not in self.records:
                raise UnknownBuild(f"there is no build {number} of {job}")
            self.records[job, number] = structs.replace(self.records[job, number], description=html)

    def find(self, job: str, number: int) -> BuildRecord | None:
        with self._lock:
            return self.records.get((job, number))

    def find_unique(self, unique: str, since: float) -> BuildRecord | None:
        with self._lock:
            found = [
                each for each in self.records.values() if each.unique == unique and (each.finished_at or 0) > since
            ]
        return max(found, key=lambda each: each.finished_at or 0, default=None)

    def recent(self, job: str | None = None, limit: int = 100, before: float | None = None) -> Sequence[BuildRecord]:
        return sorted(self.records.values(), key=lambda each: -each.started_at)[:limit]


class TestNode:
    """`parts.Node` on this machine, behind an agent of its own or in this process."""

    __test__ = False

    def __init__(
        self,
        root: Path,
        name: str = "n1",
        labels: Sequence[str] = ("linux",),
        connect: Callable[[], Channel] | None = None,
        env: Mapping[str, str] | None = None,
        host: str | None = "n1.example.org",
    ) -> None:
        self.definition = NodeDefinition(name=name, host=host, labels=frozenset(labels), env=env or {})
        self.name = name
        self.labels = frozenset(labels) | {name}
        self.is_built_in = host is None
        self.offline: list[str] = []
        self.events: list[str] = []
        self.connections = 0
        self._root = root
        self._connect = connect or LocalChannel
        self._lock = threading.Lock()
        self._channel: Channel | None = None

    def channel(self) -> Channel:
        with self._lock:
            if self._channel is None or not self._channel.is_open:
                try:
                    self._channel = self._connect()
                except (RemotingError, OSError) as error:
                    raise NodeLost(str(error)) from error
                self.connections += 1
            return self._channel

    def root(self) -> FilePath:
        return FilePath(self.channel(), str(self._root))

    def take_offline(self, reason: str) -> None:
        self.offline.append(reason)
        self.events.append("offline")

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()


def agent(cache: Path) -> Callable[[], Channel]:
    """Connects to a process of its own, as local nodes have it."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return lambda: connect_subprocess([sys.executable], environment=environment)


class Client:
    """`parts.Slot` and `parts.Delivery` of one assignment: remembers what it was told, in `events` of all."""

    def __init__(self, events: list[str] | None = None, index: int = 0) -> None:
        self.events = [] if events is None else events
        self.index = index
        self.is_connected = True
        self.told: list[tuple[str, Any]] = []
        self.released = threading.Event()
        self._change = threading.Condition()

    def keep_others_out(self) -> None:
        self.events.append("alone")

    def release(self) -> None:
        self.events.append("release")
        self.released.set()

    def _tell(self, kind: str, value: Any) -> None:
        with self._change:
            self.told.append((kind, value))
            self.events.append(kind)
            self._change.notify_all()

    def data(self, data: bytes) -> None:
        self._tell("data", data)

    def status(self, numerator: int, denominator: int) -> None:
        self._tell("status", (numerator, denominator))

    def complete(self, data: bytes) -> None:
        self._tell("complete", data)

    def fail(self) -> None:
        self._tell("fail", None)

    def exception(self, text: str) -> None:
        self._tell("exception", text)

    def wait_for(self, kind: str) -> Any:
        """What was told first of this kind."""
        with self._change:
            met = self._change.wait_for(lambda: any(each == kind for each, _ in self.told), SECONDS)
            assert met, f"no {kind} but {self.told}"
            return next(value for each, value in self.told if each == kind)

    def start(self) -> dict[str, Any]:
        return json.loads(self.wait_for("data"))  # type: ignore[no-any-return]

    def end(self) -> dict[str, Any]:
        """Of the last packets, when the slot is free too."""
        found = json.loads(self.wait_for("complete"))
        assert self.released.wait(SECONDS)
        return found  # type: ignore[no-any-return]


class NoSubmit:
    def __call__(self, job: str, parameters: Mapping[str, str], *, wait: bool) -> Any:
        raise AssertionError("no step of this test asks for builds")


class World:
    """A manager, its builds and one node; `jobs` and `secrets` can be changed between builds."""

    def __init__(
        self, folder: Path, limits: Limits = QUICK, submit: Any = None, history: Any = None, **node: Any
    ) -> None:
        self.folder = folder / "builds"
        self.place = folder / "node"
        self.place.mkdir(parents=True)
        self.history = history or MemoryHistory()
        self.nodes = {"n1": TestNode(self.place, **node)}
        self.definitions = Definitions()
        self.manager = Identity(name="manager", root_url="http://builds.example.org")
        self.builds = Builds(
            manager=self.manager,
            folder=self.folder,
            history=self.history,
            nodes=self.node_of,
            definitions=lambda: self.definitions,
            submit=submit or NoSubmit(),
            limits=limits,
        )

    def node_of(self, name: str) -> TestNode:
        if name not in self.nodes:
            raise NodeLost(f"there is no node {name}")
        return self.nodes[name]

    @property
    def node(self) -> TestNode:
        return self.nodes["n1"]

    def define(self, *jobs: Job, **others: Any) -> None:
        self.definitions = structs.replace(self.definitions, jobs={job.name: job for job in jobs}, **others)

    def assign(self, job: str = "unit", payload: Any = None, unique: str | None = None, index: int = 0) -> Client:
        """payload: bytes, or what is to be sent as JSON."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload or {}).encode()
        client = Client(self.node.events, index)
        given = Assignment(
            job=job, unique=uuid4().hex if unique is None else unique, payload=data, worker="n1_exec-0", node="n1"
        )
        self.builds.assigned(given, client, client)
        return client

    def run(self, job: Job, payload: Any = None) -> "Ran":
        """One build from its assignment to its end."""
        self.define(job)
        client = self.assign(job.name, payload)
        end = client.end()
        return Ran(self, job.name, end["number"], end["result"])

    def build_folder(self, job: str, number: int) -> BuildFolder:
        return build_folder(self.folder, job, number)

    def console(self, job: str = "unit", number: int = 1) -> str:
        path = self.build_folder(job, number).console
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        self.builds.abort_all()
        assert self.builds.wait(SECONDS)
        self.builds.close()
        for node in self.nodes.values():
            node.close()


class Ran:
    """A build that has ended."""

    def __init__(self, world: World, job: str, number: int, result: str | None) -> None:
        self.job, self.number, self.result = job, number, result
        self.folder = world.build_folder(job, number)
        self.record = world.history.records[job, number]
        self.workspace = world.place / "workspace" / job

    @property
    def console(self) -> str:
        return self.folder.console.read_text()


def job(*scripts: str, **others: Any) -> Job:
    """`unit`, with these shell steps."""
    return Job(**{"name": "unit", "steps": tuple(Shell(text=text) for text in scripts), **others})


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_text(path: Path) -> str:
    """What a step has written, as soon as there is something."""
    return wait_until(lambda: path.exists() and path.read_text(), what=str(path)) or ""
