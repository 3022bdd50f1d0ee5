"""A build manager with 100 executors beside plain `gear` workers that do nothing but run the same command.

Run: make bench, or python benchmarks/worker.py [ROUNDS]. Rounds of both alternate against one Gearman server, so that
both meet the same noise; compare medians. A build of ours has a number in SQL, a workspace, a console with times and
a clean-up; theirs has a subprocess.
The bars: 0.7 x builds/s of plain workers for 1,000 jobs of a second; no executor idle for a second while a job waits;
80 MB and 1 MB for each executor when idle. Submit to first step is measured on the idle manager, one job at a time.
Exit 1: a bar was missed.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gear

from zuul_launcher.db.engine import connect
from zuul_launcher.worker.history.history import SqlHistory

EXECUTORS = 100
JOBS = 1000
JOB_SECONDS = 1.0
ALONE = 100  # jobs one at a time
RATIO_BAR = 0.7
IDLE_BAR = 1.0  # seconds
MEMORY_BAR = 80 + EXECUTORS  # MB
PATIENCE = 600.0

COMMAND = f"sleep {JOB_SECONDS:g}"
CONFIGURATION = """\
[gearman]
server = 127.0.0.1
port = {port}
[zuul]
state_dir = {folder}/state
[worker]
name = bench
jobs = {folder}/jobs.yaml
executors = {executors}
port = {page}
disk_free = 0
"""
JOBS_FILE = """\
jobs:
  - name: short
    steps: [{{shell: '{command}'}}]
    keep: {{builds: 10}}
  - name: stamp
    steps: [{{shell: 'date +%s.%N >> {folder}/stamps'}}]
"""


class Client(gear.Client):  # type: ignore[misc]  # gear has no types
    def __init__(self, port: int) -> None:
        super().__init__("bench")
        self.connections_condition.notifyAll = self.connections_condition.notify_all
        self.addServer("127.0.0.1", port)
        self.waitForServer()
        for connection in self.active_connections:
            connection.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class PlainWorkers:
    """As many threads as executors, each with a connection of its own."""

    def __init__(self, port: int) -> None:
        self._workers = []
        for number in range(EXECUTORS):
            worker = gear.Worker(f"plain-{number}")
            worker.connections_condition.notifyAll = worker.connections_condition.notify_all
            worker.registerFunction("build:plain")
            worker.addServer("127.0.0.1", port)
            threading.Thread(target=self._serve, args=(worker,), daemon=True).start()
            self._workers.append(worker)

    def _serve(self, worker: Any) -> None:
        while True:
            try:
                job = worker.getJob()
            except gear.InterruptedError:
                return
            done = subprocess.run(
                ["/bin/bash", "-c", COMMAND], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            data = json.dumps({"result": "SUCCESS" if done.returncode == 0 else "FAILURE"}).encode()
            job.sendWorkData(data)
            job.sendWorkComplete(data)

    def stop(self) -> None:
        for worker in self._workers:
            worker.shutdown()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    program = [sys.executable, "-m", "zuul_launcher.cli.main", *command]
    running = subprocess.Popen(program, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)


def status(port: int) -> dict[str, tuple[int, int, int]]:
    """Function -> jobs, of them running, workers."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"status\n")
        text = b""
        while not text.endswith(b".\n"):
            text += connection.recv(65536)
    found = {}
    for line in text.decode().splitlines()[:-1]:
        name, total, running, workers = line.split("\t")
        found[name] = (int(total), int(running), int(workers))
    return found


def wait(question: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not question():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def rate(client: Client, function: str) -> float:
    """Builds a second."""
    jobs = [gear.Job(function.encode(), b"{}", unique=os.urandom(8).hex().encode()) for _ in range(JOBS)]
    began = time.monotonic()
    for job in jobs:
        client.submitJob(job)
    wait(lambda: all(job.complete for job in jobs), "all builds")
    took = time.monotonic() - began
    wrong = [job for job in jobs if job.failure or json.loads(job.data[-1]).get("result") != "SUCCESS"]
    assert not wrong, f"{len(wrong)} builds did not succeed: {wrong[0].data}"
    return JOBS / took


def longest_gap(history: SqlHistory) -> float:
    """Seconds between two builds of one executor, at most, in the last round: jobs waited all the time."""
    ended: dict[str, float] = {}
    longest = 0.0
    for build in reversed(history.recent("short", limit=JOBS)):
        if build.worker in ended:
            longest = max(longest, build.started_at - ended[build.worker])
        ended[build.worker] = build.finished_at or 0.0
    return longest


def delays(client: Client, folder: Path) -> list[float]:
    """Seconds from submit to the first command of the first step, one job after another."""
    found = []
    for _ in range(ALONE):
        job = gear.Job(b"build:stamp", b"{}", unique=os.urandom(8).hex().encode())
        began = time.time()
        client.submitJob(job)
        wait(lambda job=job: job.complete, "a build")
        found.append(float((folder / "stamps").read_text().splitlines()[-1]) - began)
    return found


def memory(pid: int) -> float:
    """MB of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise LookupError(pid)


def agents(pid: int) -> list[int]:
    """Processes that any thread of this one has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(word) for task in tasks for word in (task / "children").read_text().split()]


def cpu(pid: int) -> float:
    """Seconds of CPU of a process so far, its ended children not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        port, page = free_port(), free_port()
        (folder / "zuul.conf").write_text(
            CONFIGURATION.format(port=port, folder=folder, executors=EXECUTORS, page=page)
        )
        (folder / "jobs.yaml").write_text(JOBS_FILE.format(command=COMMAND, folder=folder))
        ends.enter_context(process("gearman", "--listen", "127.0.0.1", "--port", str(port)))
        wait(lambda: _listens(port), "the Gearman server")
        manager = ends.enter_context(process("--config", str(folder / "zuul.conf"), "worker"))
        wait(lambda: status(port).get("build:short", (0, 0, 0))[2] == EXECUTORS, "the manager")
        wait(lambda: _is_ok(page), "its nodes")
        idle = memory(manager.pid)
        agent = sum(memory(one) for one in agents(manager.pid))
        history = SqlHistory(connect(f"sqlite:///{folder}/state/worker/worker.sqlite"))
        plain = PlainWorkers(port)
        ends.callback(plain.stop)
        wait(lambda: status(port).get("build:plain", (0, 0, 0))[2] == EXECUTORS, "the plain workers")
        client = Client(port)
        ends.callback(client.shutdown)
        alone = sorted(delays(client, folder))
        ours, theirs, gaps = [], [], []
        parts = [manager.pid, *agents(manager.pid)]
        before = sum(cpu(one) for one in parts)
        for number in range(rounds):
            ours.append(rate(client, "build:short"))
            gaps.append(longest_gap(history))
            theirs.append(rate(client, "build:plain"))
            print(
                f"round {number + 1}: ours {ours[-1]:.1f}/s, plain {theirs[-1]:.1f}/s, longest idle {gaps[-1]:.2f} s",
                flush=True,
            )
        busy = memory(manager.pid)
        spent = (sum(cpu(one) for one in parts) - before) / (rounds * JOBS)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"{EXECUTORS} executors, {JOBS} jobs of {JOB_SECONDS:g} s, medians of {rounds} rounds")
    builds = f"{statistics.median(ours):.1f}, of plain workers {statistics.median(theirs):.1f}"
    print(f"builds/s: {builds}: {ratio:.2f} x (bar {RATIO_BAR}); CPU of a build: {spent * 1000:.0f} ms")
    print(f"submit to first step: p50 {_part(alone, 0.5) * 1000:.0f} ms, p95 {_part(alone, 0.95) * 1000:.0f} ms")
    print(f"longest time that an executor was idle while jobs waited: {max(gaps):.2f} s (bar {IDLE_BAR:g})")
    after = f"its agent {agent:.0f} MB; after {rounds * JOBS} builds {busy:.0f} MB"
    print(f"memory idle: {idle:.0f} MB (bar {MEMORY_BAR}), {after}")
    missed = ratio < RATIO_BAR or max(gaps) > IDLE_BAR or idle > MEMORY_BAR
    print("a bar was missed" if missed else "all bars are met")
    return int(missed)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _is_ok(page: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/health", timeout=5) as answer:
            return bool(json.load(answer)["status"] == "ok")
    except OSError:
        return False


def _part(values: list[float], part: float) -> float:
    return values[min(len(values) - 1, int(part * len(values)))]


if __name__ == "__main__":
    sys.exit(main())
