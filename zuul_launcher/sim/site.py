"""A whole site on this machine: real processes of ours around a Gerrit. For the demo and for system tests.

All of it lives in one folder: zuul.conf, layout.yaml, keys, repositories, logs. Its servers listen on
one address: that of loopback, if no other is given.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from zuul_launcher.sim.gerrit.site import GerritSite

T = TypeVar("T")
START_SECONDS = 60.0

CONFIGURATION = """\
[gearman]
server = {address}
port = {gearman_port}

[gearman_server]
start = {start_gearman}
listen_address = {address}
port = {gearman_port}

[zuul]
layout_config = {folder}/layout.yaml
state_dir = {folder}/state

[webapp]
listen_address = {address}
port = {web_port}

[merger]
git_dir = {folder}/git
git_user_name = Zuul
git_user_email = zuul@example.com
{zuul_url}
[database]
dburi = {dburi}

[connection gerrit]
driver = gerrit
server = {gerrit_host}
port = {gerrit_port}
user = zuul
sshkey = {key}
known_hosts = {folder}/known_hosts
baseurl = http://{gerrit_host}
"""
WORKER = """
[worker]
name = builder
jobs = {folder}/jobs.yaml
url = http://127.0.0.1:{port}/
port = {port}
executors = {executors}
disk_free = 0
"""
EXECUTORS = 12


def free_port() -> int:
    """A port of loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _document(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own URLs
        return json.load(answer)


def wait_until(question: Callable[[], T], seconds: float, what: str) -> T:
    """The first true answer. Raises TimeoutError with what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.05)
    raise TimeoutError(f"{what}: not within {seconds:g} s")


class Site:
    """Parts are named `gearman`, `scheduler`, `merger`, `merger2`..., `worker`; each writes FOLDER/NAME.log."""

    def __init__(
        self,
        folder: Path,
        gerrit: GerritSite,
        layout: str,
        *,
        gearman_port: int | None = None,
        dburi: str | None = None,
        web_port: int | None = None,
        jobs: str | None = None,
        worker_port: int | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        """`gearman_port`: of a Gearman server that is there already; without, the built-in one is used. `jobs`: the
        jobs.yaml of a worker, None: the site has none. `address`: where its servers listen."""
        self.folder = folder
        self.gerrit = gerrit
        self.address = address
        self.has_own_gearman = gearman_port is None
        self.gearman_port = gearman_port or free_port()
        self.web_port = web_port or free_port()
        self.worker_port = worker_port or free_port()
        self._has_worker = jobs is not None
        self.dburi = dburi or f"sqlite:///{folder}/state/zuul.sqlite"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("state", "git"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "layout.yaml").write_text(layout)
        if jobs is not None:
            (folder / "jobs.yaml").write_text(jobs)
        (folder / "known_hosts").write_text(gerrit.known_hosts_line() + "\n")
        self.config = self._configure("zuul.conf")

    def _configure(self, name: str, git_dir: str = "git", zuul_url: str = "") -> Path:
        text = CONFIGURATION.format(
            folder=self.folder,
            address=self.address,
            gearman_port=self.gearman_port,
            start_gearman="true" if self.has_own_gearman else "false",
            web_port=self.web_port,
            zuul_url=zuul_url,
            dburi=self.dburi,
            gerrit_host=self.gerrit.host,
            gerrit_port=self.gerrit.port,
            key=self.gerrit.key_file("zuul"),
        ).replace(f"git_dir = {self.folder}/git\n", f"git_dir = {self.folder}/{git_dir}\n")
        if self._has_worker:
            text += WORKER.format(folder=self.folder, port=self.worker_port, executors=EXECUTORS)
        path = self.folder / name
        path.write_text(text)
        return path

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.web_port}"

    @property
    def worker_url(self) -> str:
        return f"http://127.0.0.1:{self.worker_port}"

    def start(self, mergers: int = 1) -> None:
        """All parts but a worker, and wait until the page answers."""
        if self.has_own_gearman:
            self.start_gearman()
        for number in range(1, mergers + 1):
            self.start_merger(number)
        self.start_scheduler()

    def start_gearman(self) -> None:
        self._start("gearman", "gearman", "--listen", self.address, "--port", str(self.gearman_port))
        wait_until(self._gearman_listens, START_SECONDS, "the Gearman server")

    def start_merger(self, number: int = 1) -> None:
        """The first one's repositories are served by the page; further ones have a folder and a URL of their own."""
        if number == 1:
            self._start("merger", "merger")
        else:
            folder = f"git{number}"
            config = self._configure(f"zuul-{number}.conf", folder, f"zuul_url = file://{self.folder}/{folder}")
            self._start(f"merger{number}", "merger", config=config)

    def start_scheduler(self, *, wait: bool = True) -> None:
        self._start("scheduler", "scheduler", "--without-gearman")
        if wait:
            self._wait_for("scheduler", lambda: self.status() is not None)

    def start_worker(self) -> None:
        """Of a site with jobs; and wait until it takes builds."""
        self._start("worker", "worker")
        self._wait_for("worker", self.offers_builds)

    def offers_builds(self) -> bool:
        """Does the Gearman server know what the worker can do?"""
        try:
            told = self.ask_worker("api/functions")
        except OSError:
            return False
        return any(name.startswith("build:") for names in told.values() for name in names)

    def _wait_for(self, name: str, question: Callable[[], bool]) -> None:
        """Until a part that was started answers so. Raises RuntimeError with its last words."""

        def is_up() -> bool:
            process = self._processes[name]
            if process.poll() is not None:
                log = (self.folder / f"{name}.log").read_text()
                raise RuntimeError(f"the {name} ended with status {process.returncode}:\n{log[-3000:]}")
            return question()

        wait_until(is_up, START_SECONDS, f"the {name} (see {self.folder}/{name}.log)")

    def kill(self, name: str) -> None:
        """SIGKILL one part."""
        self._end(name, signal.SIGKILL)

    def terminate(self, name: str) -> int:
        """SIGTERM one part, and wait for it. Its exit status."""
        return self._end(name, signal.SIGTERM)

    def tell(self, name: str, number: int) -> None:
        """Send a signal to one part."""
        self._processes[name].send_signal(number)

    def wait_for_end(self, name: str, seconds: float = START_SECONDS) -> int:
        """Of a part that ends by itself, or was told to. Its exit status."""
        return self._processes.pop(name).wait(seconds)

    def stop(self) -> None:
        for name in sorted(self._processes, key=lambda name: name == "gearman"):
            self._end(name, signal.SIGTERM)

    def _end(self, name: str, number: signal.Signals) -> int:
        process = self._processes.pop(name)
        process.send_signal(number)
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(30)

    def _start(self, name: str, *arguments: str, config: Path | None = None) -> None:
        command = [sys.executable, "-m", "zuul_launcher.cli.main", "-v", "--config", str(config or self.config)]
        with open(self.folder / f"{name}.log", "ab") as log:  # noqa: PTH123
            self._processes[name] = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "XDG_CACHE_HOME": str(self.folder / "cache")},
            )

    def _gearman_listens(self) -> bool:
        try:
            socket.create_connection((self.address, self.gearman_port), timeout=1).close()
        except OSError:
            return False
        return True

    def status(self) -> dict[str, Any] | None:
        """status.json; None while there is none."""
        try:
            document: dict[str, Any] = _document(f"{self.url}/status.json")
        except OSError:
            return None
        return document

    def ask_worker(self, path: str) -> Any:
        """JSON of one of the worker's pages. Raises OSError: it does not answer."""
        return _document(f"{self.worker_url}/{path}")

    def is_ready(self) -> bool:
        """Does the page say that nothing is wrong? Then events are watched, and the Gearman server is there."""
        status = self.status()
        return status is not None and status["errors"] == []

    def items(self, pipeline: str | None = None) -> list[dict[str, Any]]:
        """Live items of the newest status, of one pipeline or all."""
        document = self.status() or {"pipelines": []}
        return [
            item
            for one in document["pipelines"]
            if pipeline in (None, one["name"])
            for queue in one["change_queues"]
            for head in queue["heads"]
            for item in head
            if item["live"]
        ]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of our commands, with this site's configuration."""
        command = [sys.executable, "-m", "zuul_launcher.cli.main", "--config", str(self.config), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
