"""A small build worker, written with the `gear` library: what runs builds in the demo and in tests.

It plays the part of a build system as Zuul's protocol has it: registers `build:JOB`, `stop:NAME` and
`set_description:NAME`, sends WORK_DATA with name, number, manager and url, WORK_STATUS, and at the end WORK_DATA and
WORK_COMPLETE with the result. What comes of a build is decided by a callable; builds can be held, and are remembered.
It is a program, too:

    python -m zuul_launcher.sim.worker --port 4730 --name demo --job unit --job docs --git /tmp/work
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gear

GIT_SECONDS = 120.0
CHECK_SECONDS = 600.0


@dataclass(frozen=True)
class Outcome:
    """What comes of a build. result None: the worker gives none, so the build is to be run again."""

    result: str | None = "SUCCESS"
    seconds: float = 0.0  # that it takes
    data: dict[str, Any] = field(default_factory=dict)  # added to the last data packet


@dataclass(frozen=True)
class SimBuild:
    """A build that the worker has run, or is running (result None)."""

    job: str
    number: int
    parameters: dict[str, Any]
    result: str | None = None


Decide = Callable[[str, dict[str, Any]], Outcome]  # job, parameters


def succeed(job: str, parameters: dict[str, Any]) -> Outcome:
    return Outcome()


class _Connection(gear.Worker):  # type: ignore[misc]  # gear has no types
    """gear's worker without what hurts: packets held back 40 ms, a deprecated call, sockets left open at the end."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.connections_condition.notifyAll = self.connections_condition.notify_all

    def _onConnect(self, conn: Any) -> None:
        conn.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super()._onConnect(conn)

    def _cleanup(self) -> None:
        connections = [*self.active_connections, *self.inactive_connections]
        super()._cleanup()
        for connection in connections:
            connection.disconnect()


class _Running:
    """One build under way."""

    def __init__(self, build: SimBuild) -> None:
        self.build = build
        self.released = threading.Event()
        self.stopped = threading.Event()

    def stop(self) -> None:
        self.stopped.set()
        self.released.set()


class SimWorker:
    """A build manager with some executors, each of which runs one build at a time."""

    def __init__(
        self,
        server: str,
        port: int,
        name: str,
        jobs: Iterable[str],
        *,
        decide: Decide = succeed,
        executors: int = 1,
        first_number: int = 1,
    ) -> None:
        """`jobs` are names, or `NAME:NODE`; build numbers start at `first_number`, for each job."""
        self.name = name
        self.history: list[SimBuild] = []  # finished ones, in the order of their end
        self.descriptions: dict[tuple[str, int | str], str] = {}  # (job, number) -> HTML
        self._server = (server, port)
        self._decide = decide
        self._functions = [f"build:{job}" for job in jobs]
        self._first_number = first_number
        self._numbers: Counter[str] = Counter()
        self._held: str | None = None  # regular expression
        self._running: dict[tuple[str, int], _Running] = {}
        self._changed = threading.Condition()
        self._ending = False
        self._manager = _Connection(f"{name}_manager")
        self._executors = [_Connection(f"{name}_exec-{number}") for number in range(executors)]
        self._threads = [threading.Thread(target=self._manage, name=f"{name} manager", daemon=True)]
        for connection in self._executors:
            thread = threading.Thread(target=self._execute, args=(connection,), name=f"{name} executor", daemon=True)
            self._threads.append(thread)

    def __enter__(self) -> "SimWorker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        for function in (f"stop:{self.name}", f"set_description:{self.name}"):
            self._manager.registerFunction(function)
        for connection in self._executors:
            for function in self._functions:
                connection.registerFunction(function)
        for connection in (self._manager, *self._executors):
            connection.addServer(*self._server)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End running builds (ABORTED) and all connections."""
        self._ending = True
        with self._changed:
            for running in self._running.values():
                running.stop()
        for connection in (self._manager, *self._executors):
            connection.shutdown()
        for thread in self._threads:
            thread.join()

    # For tests

    @property
    def builds(self) -> list[SimBuild]:
        """Those under way, oldest first."""
        with self._changed:
            return [running.build for running in self._running.values()]

    def hold(self, pattern: str = ".*") -> None:
        """From now on builds of jobs that match wait after they have begun, until they are released or stopped."""
        self._held = pattern

    def release(self, pattern: str = ".*", **parameters: Any) -> None:
        """Let waiting builds go on whose jobs match and that have these parameters (`ZUUL_CHANGE="4711"`); the same
        jobs are held again at their next build."""
        with self._changed:
            for running in self._running.values():
                if re.fullmatch(pattern, running.build.job) and parameters.items() <= running.build.parameters.items():
                    running.released.set()

    def release_all(self) -> None:
        """Hold no more, and let all go on."""
        self._held = None
        self.release()

    def wait_for(self, condition: Callable[["SimWorker"], bool], seconds: float = 30.0) -> None:
        """Until it holds; asked whenever a build begins or ends. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), seconds):
                raise TimeoutError(f"waited {seconds:g} s; running {self._running}, finished {self.history}")

    # Threads

    def _manage(self) -> None:
        self._serve(self._manager, self._manage_one)

    def _execute(self, connection: _Connection) -> None:
        self._serve(connection, self._run)

    def _serve(self, connection: _Connection, do: Callable[[Any], None]) -> None:
        while not self._ending:
            try:
                do(connection.getJob())
            except gear.InterruptedError:
                return
            except (OSError, AttributeError):  # the server went away; gear's closed connections have no socket
                continue

    def _manage_one(self, job: Any) -> None:
        try:
            arguments = json.loads(job.arguments)
            key = (arguments["name"], arguments["number"])
            if job.name.startswith("stop:"):
                with self._changed:
                    self._running[key].stop()
            else:
                self.descriptions[key] = arguments["html_description"]
        except (KeyError, ValueError, TypeError) as error:
            job.sendWorkException(repr(error).encode())
        else:
            job.sendWorkComplete()

    def _run(self, job: Any) -> None:
        parameters = json.loads(job.arguments)
        name = job.name.split(":")[1]
        with self._changed:
            number = self._first_number + self._numbers[name]
            self._numbers[name] += 1
            running = _Running(SimBuild(name, number, parameters))
            if self._held is None or not re.fullmatch(self._held, name):
                running.released.set()
            self._running[name, number] = running
            self._changed.notify_all()
        said = self._first_data(name, number)
        try:
            job.sendWorkData(json.dumps(said).encode())
            job.sendWorkStatus(0, 100)
            running.released.wait()
            outcome = Outcome("ABORTED") if running.stopped.is_set() else self._decide(name, parameters)
            if running.stopped.wait(outcome.seconds):
                outcome = Outcome("ABORTED")
            last = json.dumps(said | outcome.data | {"result": outcome.result}).encode()
        finally:
            with self._changed:
                del self._running[name, number]
        with self._changed:
            self.history.append(SimBuild(name, number, parameters, outcome.result))
            self._changed.notify_all()
        job.sendWorkData(last)
        job.sendWorkComplete(last)

    def _first_data(self, name: str, number: int) -> dict[str, Any]:
        return {
            "name": name,
            "number": number,
            "manager": self.name,
            "url": f"http://{self.name}.example.net/job/{name}/{number}/",
            "worker_name": self.name,
            "worker_hostname": f"{self.name}.example.net",
            "worker_ips": ["127.0.0.1"],
            "worker_fqdn": f"{self.name}.example.net",
            "worker_program": "zuul_launcher.sim.worker",
            "worker_version": "1",
            "worker_extra": {},
        }


class GitJob:
    """Fetches what is to be tested, as a job would, and runs `sh check.sh` in it: exit code 0 is SUCCESS.

    A tree without check.sh is a FAILURE; a commit that cannot be fetched gives no result, so the build is run again.
    """

    def __init__(self, folder: Path) -> None:
        """Trees live below `folder` as long as their builds."""
        self._folder = folder

    def __call__(self, job: str, parameters: dict[str, Any]) -> Outcome:
        tree = Path(tempfile.mkdtemp(prefix="build-", dir=self._folder))
        try:
            return self._check(tree, parameters)
        finally:
            shutil.rmtree(tree, ignore_errors=True)

    def _check(self, tree: Path, parameters: dict[str, Any]) -> Outcome:
        told = {key: str(value) for key, value in parameters.items() if isinstance(value, str | int)}
        try:
            url = f"{told['ZUUL_URL']}/{told['ZUUL_PROJECT']}"
            _git(tree, "init", "--quiet")
            _git(tree, "fetch", "--quiet", "--end-of-options", url, told["ZUUL_REF"])
            _git(tree, "checkout", "--quiet", "--detach", "FETCH_HEAD")
            commit = _git(tree, "rev-parse", "HEAD").strip()
            done = subprocess.run(
                ["sh", "check.sh"],
                cwd=tree,
                env=os.environ | told,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=CHECK_SECONDS,
                check=False,
            )
        except (KeyError, subprocess.SubprocessError) as error:
            return Outcome(None, data={"error": str(error)})
        if commit != told.get("ZUUL_COMMIT", commit):
            return Outcome("FAILURE", data={"error": f"fetched {commit}"})
        return Outcome("SUCCESS" if done.returncode == 0 else "FAILURE")


def _git(tree: Path, *arguments: str) -> str:
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
    done = subprocess.run(
        ["git", *arguments], cwd=tree, env=environment, capture_output=True, text=True, timeout=GIT_SECONDS, check=True
    )
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until TERM or INT."""
    parser = argparse.ArgumentParser(prog="python -m zuul_launcher.sim.worker", description="a small build worker")
    parser.add_argument("--server", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4730)
    parser.add_argument("--name", required=True, help="name of the manager, for stop: and set_description:")
    parser.add_argument("--job", action="append", required=True, metavar="NAME[:NODE]", help="may be given repeatedly")
    parser.add_argument("--executors", type=int, default=1)
    parser.add_argument("--git", type=Path, metavar="FOLDER", help="really fetch and check, with trees in this folder")
    options = parser.parse_args(arguments)
    decide = GitJob(options.git) if options.git else succeed
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with SimWorker(options.server, options.port, options.name, options.job, decide=decide, executors=options.executors):
        while not ended.wait(0.5):  # the handler runs when this thread does something
            pass


if __name__ == "__main__":
    main()
