"""A build manager as its pages see it: a real history and real folders, and builds that a test writes by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from support.build_records import EPOCH, starting

from zuul_launcher.db import migrate
from zuul_launcher.db.engine import connect
from zuul_launcher.worker.history.history import SqlHistory
from zuul_launcher.worker.pages.view import BuildView, NodeView
from zuul_launcher.worker.parts import BuildRecord
from zuul_launcher.worker.places import BuildFolder, build_folder


class Desk:
    """It is a `View`; `begin`, `write` and `finish` do what builds do, in the same order."""

    manager = "builder.example.net"
    root_url: str | None = "https://ci.example.net/builds/"

    def __init__(self, path: Path) -> None:
        self.folder = path / "builds"
        self.engine = connect(f"sqlite:///{path}/worker.sqlite")
        migrate.upgrade_worker(self.engine)
        self.history = SqlHistory(self.engine)
        self.now_running: list[BuildView] = []
        self.now_nodes = [NodeView(name="trusty-1", labels=("linux", "trusty-1"), executors=2)]
        self.descriptions: dict[str, str] = {}  # of jobs
        self.offered: dict[str, list[str]] = {}
        self.state: dict[str, Any] = {"status": "ok"}
        self._records: dict[tuple[str, int], BuildRecord] = {}

    def close(self) -> None:
        self.engine.dispose()

    def running(self) -> Sequence[BuildView]:
        return tuple(self.now_running)

    def nodes(self) -> Sequence[NodeView]:
        return tuple(self.now_nodes)

    def description(self, job: str) -> str:
        return self.descriptions.get(job, "")

    def functions(self) -> Mapping[str, Sequence[str]]:
        return self.offered

    def health(self) -> Mapping[str, Any]:
        return self.state

    def place(self, job: str = "unit", number: int = 1) -> BuildFolder:
        return build_folder(self.folder, job, number)

    def begin(self, job: str = "unit", step: str = "", **fields: Any) -> BuildRecord:
        record = self.history.begin(starting(job, **fields))
        self._records[job, record.number] = record
        self.place(job, record.number).artifacts.mkdir(parents=True)
        self.now_running.append(BuildView(job=job, number=record.number, node=record.node, step=step))
        return record

    def write(self, text: str | bytes, job: str = "unit", number: int = 1, at: float = EPOCH) -> None:
        """More of the console; every line that begins in it was written `at`."""
        place = self.place(job, number)
        data = text if isinstance(text, bytes) else text.encode()
        size = place.console.stat().st_size if place.console.exists() else 0
        begins = not size or place.console.read_bytes().endswith(b"\n")
        with place.console.open("ab") as console, place.times.open("a") as times:
            for line in data.splitlines(keepends=True):
                if begins:
                    times.write(f"{size} {round(at * 1000)}\n")
                begins = line.endswith(b"\n")
                size += len(line)
            console.write(data)

    def artifact(self, path: str, content: bytes, job: str = "unit", number: int = 1) -> Path:
        file = self.place(job, number).artifacts / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def finish(self, job: str = "unit", number: int = 1, result: str | None = "SUCCESS", **fields: Any) -> BuildRecord:
        self.now_running = [one for one in self.now_running if (one.job, one.number) != (job, number)]
        ended = {"finished_at": EPOCH + 10, "result": result, "final": b"{}"} | fields
        record = msgspec.structs.replace(self._records[job, number], **ended)
        self.history.finish(record)
        return record
