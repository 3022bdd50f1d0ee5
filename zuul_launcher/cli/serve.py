"""`zuul-launcher serve`: everything that a small site needs in one command, each part as a process of its own.

A part that dies is started again, with growing delays. A part that is there already (a supervisor that was killed
leaves its parts working) is found, and only looked after.
"""

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import click

from zuul_launcher.cli.signals import on_signals
from zuul_launcher.cli.words import settings_of
from zuul_launcher.settings import Settings, require_for

DELAYS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before a part that died is started again
STEADY_SECONDS = 60.0  # a part that lived so long begins with the first delay again
STOP_SECONDS = 30.0

log = logging.getLogger("zuul_launcher.serve")


class Part:
    """One process, started again and again."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._due_at = 0.0
        self._deaths = 0

    def look_after(self, now: float) -> None:
        if self._process is not None and self._process.poll() is not None:
            if now - self._started_at > STEADY_SECONDS:
                self._deaths = 0
            delay = DELAYS[min(self._deaths, len(DELAYS) - 1)]
            log.error("%s ended with status %d and starts again in %g s", self.name, self._process.returncode, delay)
            self._deaths += 1
            self._process = None
            self._due_at = now + delay
        if self._process is None and now >= self._due_at:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
            self._started_at = now
            log.info("%s is process %d", self.name, self._process.pid)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, deadline: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            log.error("%s does not end: killing it", self.name)
            self._process.kill()
            self._process.wait()


def parts_of(settings: Settings) -> list[Part]:
    """What has to run here, in the order of starting."""
    program = [sys.executable, "-m", "zuul_launcher.cli.main"]
    configured = [*program, "--config", str(settings.file)]
    parts = []
    if settings.gearman_server.start and not is_listening(*settings.gearman.address):
        server = settings.gearman_server
        listen = ["--listen", server.listen_address] if server.listen_address else []
        parts.append(Part("gearman", [*program, "gearman", "--port", str(int(server.port)), *listen]))
    parts.append(Part("scheduler", [*configured, "scheduler", "--without-gearman"]))
    parts.append(Part("merger", [*configured, "merger"]))
    return parts


def is_listening(server: str, port: int) -> bool:
    """Does a process of an earlier supervisor still serve there?"""
    try:
        socket.create_connection((server, port), timeout=2).close()
    except OSError:
        return False
    return True


@click.command()
@click.pass_context
def serve(context: click.Context) -> None:
    """Run Gearman server (if [gearman_server] start=true), scheduler with page, and merger, until TERM or INT."""
    settings = settings_of(context)
    require_for(settings, "scheduler")
    for folder in (settings.zuul.state_dir, settings.merger.git_dir):
        Path(folder).mkdir(parents=True, exist_ok=True)
    stopping = threading.Event()
    on_signals({signal.SIGTERM: stopping.set, signal.SIGINT: stopping.set})
    parts = parts_of(settings)
    while not stopping.is_set():
        for part in parts:
            part.look_after(time.monotonic())
        stopping.wait(0.5)
    for part in reversed(parts):
        part.stop()
    deadline = time.monotonic() + STOP_SECONDS
    for part in reversed(parts):
        part.wait(deadline)
