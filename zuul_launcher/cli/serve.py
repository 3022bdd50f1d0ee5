"""`zuul-launcher serve`: everything that a small site needs in one command, each part as a process of its own.

A part that dies is started again, with growing delays. A part that is there already (a supervisor that was killed
leaves its parts working) is found by STATE_DIR/serve/NAME.pid, and looked after like one's own.
"""

import fcntl
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

import click

from zuul_launcher.cli.found import FoundProcess, find, remember
from zuul_launcher.cli.signals import on_signals
from zuul_launcher.cli.words import settings_of
from zuul_launcher.errors import ConfigurationError
from zuul_launcher.service.layouts import read_first
from zuul_launcher.settings import Settings, require_for

DELAYS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before a part that died is started again
STEADY_SECONDS = 60.0  # a part that lived so long begins with the first delay again
STOP_SECONDS = 30.0

log = logging.getLogger("zuul_launcher.serve")


class Part:
    """One process, found, or started again and again."""

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        *,
        is_served: Callable[[], bool] = lambda: False,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """`folder` is where its number is kept. `is_served`: does somebody else do its work?"""
        self._is_served = is_served
        self._stop_seconds = stop_seconds
        self.name = name
        self._command = command
        self._path = folder / f"{name}.pid"
        self._process: subprocess.Popen[bytes] | FoundProcess | None = find(self._path, command)
        if self._process is not None:
            log.info("%s is there already, as process %d", name, self._process.pid)
        self._started_at = 0.0
        self._due_at = 0.0
        self._deaths = 0

    def tell(self, number: signal.Signals) -> None:
        """Pass a signal on."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def look_after(self, now: float) -> None:
        if self._process is not None and self._process.poll() is not None:
            if now - self._started_at > STEADY_SECONDS:
                self._deaths = 0
            delay = DELAYS[min(self._deaths, len(DELAYS) - 1)]
            is_child = isinstance(self._process, subprocess.Popen)
            how = f"status {self._process.returncode}" if is_child else "a status that nobody knows"
            log.error("%s ended with %s and starts again in %g s", self.name, how, delay)
            self._deaths += 1
            self._process = None
            self._due_at = now + delay
        if self._process is None and now >= self._due_at:
            self._due_at = now + DELAYS[2]
            if self._is_served():
                return
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
            remember(self._path, self._process.pid)
            self._started_at = now
            log.info("%s is process %d", self.name, self._process.pid)

    def wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(self._stop_seconds)
        except subprocess.TimeoutExpired:
            log.error("%s does not end: killing it", self.name)
            self._process.kill()
            self._process.wait()


def parts_of(settings: Settings, folder: Path) -> list[Part]:
    """What has to run here, in the order of starting."""
    program = [sys.executable, "-m", "zuul_launcher.cli.main"]
    configured = [*program, "--config", str(settings.file)]
    parts = []
    if settings.gearman_server.start:
        server = settings.gearman_server
        listen = ["--listen", server.listen_address] if server.listen_address else []
        command = [*program, "gearman", "--port", str(int(server.port)), *listen]
        parts.append(Part("gearman", command, folder, is_served=lambda: is_listening(*settings.gearman.address)))
    parts.append(Part("scheduler", [*configured, "scheduler", "--without-gearman"], folder))
    patience = STOP_SECONDS + settings.merger.git_timeout  # it finishes the merge at hand
    parts.append(Part("merger", [*configured, "merger"], folder, stop_seconds=patience))
    if settings.worker is not None:
        parts.append(Part("worker", [*configured, "worker"], folder))
    return parts


def is_listening(server: str, port: int) -> bool:
    """Does somebody else serve there?"""
    try:
        socket.create_connection((server, port), timeout=2).close()
    except OSError:
        return False
    return True


@click.command()
@click.pass_context
def serve(context: click.Context) -> None:
    """Run Gearman server (if [gearman_server] start=true), scheduler with page, merger and, if there is a section
    [worker], a worker, until TERM or INT.

    HUP is passed on to the scheduler and to the worker, USR1 and USR2 to the scheduler.
    """
    settings = settings_of(context)
    require_for(settings, "scheduler")
    if settings.worker is not None:
        require_for(settings, "worker")
    read_first(settings)  # a bad one ends this here, not a part again and again
    folder = Path(settings.zuul.state_dir) / "serve"
    make_folder(folder, "[zuul] state_dir")
    make_folder(Path(settings.merger.git_dir), "[merger] git_dir")
    with open(folder / "lock", "ab") as lock:  # noqa: PTH123
        if not is_alone(lock):
            raise ConfigurationError(f"another `serve` looks after {settings.zuul.state_dir}: stop it first")
        look_after_all(parts_of(settings, folder))


def make_folder(folder: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{option}: {folder}: {error.strerror}: correct it, or make the folder") from error


def is_alone(lock: IO[bytes]) -> bool:
    """Lock the file as long as it is open; False: another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def look_after_all(parts: list[Part]) -> None:
    """Until a signal says to stop; then end all, the worker first: it tells that its builds have no result."""
    stopping = threading.Event()
    workers = [part for part in parts if part.name == "worker"]
    others = [part for part in parts if part.name != "worker"]
    scheduler = next(part for part in parts if part.name == "scheduler")
    passed_on = {one: partial(scheduler.tell, one) for one in (signal.SIGUSR1, signal.SIGUSR2)}
    reload = partial(_tell, [scheduler, *workers], signal.SIGHUP)
    on_signals({signal.SIGTERM: stopping.set, signal.SIGINT: stopping.set, signal.SIGHUP: reload, **passed_on})
    while not stopping.is_set():
        for part in parts:
            part.look_after(time.monotonic())
        stopping.wait(0.5)
    for group in (workers, others[::-1]):
        _tell(group, signal.SIGTERM)
        for part in group:
            part.wait()


def _tell(parts: list[Part], number: signal.Signals) -> None:
    for part in parts:
        part.tell(number)
