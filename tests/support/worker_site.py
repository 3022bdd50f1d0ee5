"""A build manager as a process of its own, with its files in one folder; and a scheduler's side of it, written with
nothing but the `gear` library."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import gear
from support.hosts import LOOPBACK, Host
from support.waiting import free_port, wait_until

CONFIGURATION = """\
[gearman]
server = {host.outside}
port = {gearman_port}

[zuul]
state_dir = {folder}/state

[worker]
name = {name}
jobs = {folder}/jobs.yaml
url = http://{host.address}:{port}/
listen_address = {host.address}
port = {port}
kill_grace = 2
disk_free = 0
{options}
"""


class WorkerSite:
    """`options`: further lines of [worker]. The Gearman server is outside of the host."""

    def __init__(
        self,
        folder: Path,
        gearman_port: int,
        jobs: str,
        *,
        name: str = "builder",
        options: str = "",
        host: Host = LOOPBACK,
    ) -> None:
        self.folder = folder
        self.host = host
        self.name = name
        self.gearman_port = gearman_port
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "zuul.conf"
        text = CONFIGURATION.format(
            folder=folder, host=host, gearman_port=gearman_port, name=name, port=self.port, options=options
        )
        self.config.write_text(text)
        self.write_jobs(jobs)
        self._process: subprocess.Popen[bytes] | None = None

    def write_jobs(self, text: str) -> None:
        (self.folder / "jobs.yaml").write_text(text)

    def __enter__(self) -> "WorkerSite":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            assert self.terminate() == 0, self.log()

    def start(self, *arguments: str, wait: bool = True) -> None:
        with (self.folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._program, "worker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")},
            )
        if wait:
            wait_until(self._is_ready, what=f"the worker: {self.log()}")

    @property
    def _program(self) -> list[str]:
        return [*self.host.enter, sys.executable, "-m", "zuul_launcher.cli.main", "--config", str(self.config)]

    def _is_ready(self) -> bool:
        """Its nodes are connected, and the Gearman server knows its functions."""
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            return self.health()["status"] == "ok" and any(
                name.startswith("build:") for names in self.get("api/functions").values() for name in names
            )
        except OSError:
            return False

    def tell(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def terminate(self) -> int:
        self.tell(signal.SIGTERM)
        return self.wait_for_end()

    def kill(self) -> None:
        self.tell(signal.SIGKILL)
        self.wait_for_end()

    def wait_for_end(self) -> int:
        assert self._process is not None
        status = self._process.wait(60)
        self._process = None
        return status

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`zuul-launcher worker ARGUMENTS` of this site."""
        return subprocess.run(
            [*self._program, "worker", *arguments], capture_output=True, text=True, timeout=120, check=False
        )

    def log(self) -> str:
        path = self.folder / "worker.log"
        return path.read_text() if path.exists() else ""

    @property
    def url(self) -> str:
        return f"http://{self.host.address}:{self.port}"

    def get(self, path: str) -> Any:
        """JSON of one of its pages."""
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=20) as answer:
            return json.load(answer)

    def console(self, job: str, number: int) -> str:
        with urllib.request.urlopen(f"{self.url}/job/{job}/{number}/consoleText", timeout=20) as answer:
            text: str = answer.read().decode()
        return text

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("health")
        return found


class SentJob(gear.Job):  # type: ignore[misc]  # gear has no types
    """A build as the scheduler knows it: what the worker said, and how it ended."""

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in list(self.data)]

    @property
    def outcome(self) -> str:
        """`result` of the last data, "null" if it is null, "failed" or "exception" if it never ran."""
        if self.exception is not None:
            return "exception"
        if self.failure:
            return "failed"
        return str(json.loads(self.data[-1]).get("result", "missing") or "null")


class GearScheduler:
    """Submits builds, stops and describes them."""

    def __init__(self, port: int) -> None:
        self._client = gear.Client("scheduler")
        self._client.connections_condition.notifyAll = self._client.connections_condition.notify_all  # deprecated
        self._client.addServer("127.0.0.1", port)
        self._port = port
        self._lock = threading.Lock()

    def __enter__(self) -> "GearScheduler":
        self._client.waitForServer()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.shutdown()

    def build(self, job: str, unique: str = "", **parameters: Any) -> SentJob:
        payload = json.dumps(parameters).encode()
        sent = SentJob(f"build:{job}".encode(), payload, unique=unique.encode() or None)
        self._client.submitJob(sent, timeout=30)
        return sent

    def wait_started(self, sent: SentJob) -> dict[str, Any]:
        """Its first data."""
        wait_until(lambda: sent.data, what=f"the start of {sent.name}")
        return sent.said[0]

    def wait_ended(self, sent: SentJob) -> str:
        wait_until(lambda: sent.complete, what=f"the end of {sent.name}")
        return sent.outcome

    def stop(self, sent: SentJob) -> str:
        """What the manager answers."""
        said = self.wait_started(sent)
        return self.ask(f"stop:{said['manager']}", name=said["name"], number=str(said["number"]))

    def describe(self, sent: SentJob, html: str) -> str:
        said = self.wait_started(sent)
        function = f"set_description:{said['manager']}"
        return self.ask(function, name=said["name"], number=said["number"], html_description=html)

    def ask(self, function: str, **arguments: Any) -> str:
        """`complete`, `failed` or `exception`."""
        asked = SentJob(function.encode(), json.dumps(arguments).encode())
        self._client.submitJob(asked, timeout=30)
        wait_until(lambda: asked.complete, what=f"the answer of {function}")
        return "exception" if asked.exception is not None else "failed" if asked.failure else "complete"

    def cancel(self, sent: SentJob) -> bool:
        """Take a build off the queue."""
        request = gear.CancelJobAdminRequest(sent.handle)
        sent.connection.sendAdminRequest(request)
        answer: bytes = request.response
        return answer.startswith(b"OK")
