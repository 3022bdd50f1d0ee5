"""A whole gate under test: real processes around a Gerrit, a build worker in this one, and the words that tests use.

Builds are held until a test lets them go, so the order of everything is the test's to decide. Nothing here sleeps:
tests wait for what the worker, Gerrit or the page show.
"""

import re
import string
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from support.gerrit_shell import connection
from support.waiting import wait_until

from zuul_launcher.gerrit import parse
from zuul_launcher.gerrit.record import ParseError
from zuul_launcher.gerrit.watch import Watch
from zuul_launcher.sim.gerrit.site import GerritSite, Pushed
from zuul_launcher.sim.site import Site
from zuul_launcher.sim.worker import Decide, GitJob, SimBuild, SimWorker

CHECK = "test ! -e broken\n"  # what every project is tested with

GATE = """\
pipelines:
  - name: gate
    manager: DependentPipelineManager
    precedence: high
    trigger:
      gerrit:
        - event: comment-added
          approval:
            - code-review: 2
    start:
      gerrit: {verified: 0}
    success:
      gerrit: {verified: 2, submit: true}
    failure:
      gerrit: {verified: -2}
"""
ONE_JOB = """\
projects:
  - name: $alpha
    gate: [unit]
  - name: $beta
    gate: [unit]
"""
SHARED_QUEUE = """\
jobs:
  - name: unit
projects:
  - name: $alpha
    gate: [unit, docs]
  - name: $beta
    gate: [unit]
"""


class Gate:
    """Use it by `running_gate`. Projects are called `alpha` and `beta` in tests, and something unique in Gerrit."""

    def __init__(self, folder: Path, gerrit: GerritSite, layout: str, **site: Any) -> None:
        """`site`: options of `Site`."""
        unique = uuid4().hex[:8]
        self.names = {name: f"{name}-{unique}" for name in ("alpha", "beta")}
        self.gerrit = gerrit
        self.folder = folder
        for name in self.names.values():
            gerrit.create_project(name, {"check.sh": CHECK, "README": "hello\n"})
        (folder / "site").mkdir()
        self.site = Site(folder / "site", gerrit, self.layout(layout), **site)
        (folder / "trees").mkdir()
        self.worker: SimWorker

    def layout(self, text: str) -> str:
        """With the names that the projects have in Gerrit for `$alpha` and `$beta`."""
        return string.Template(text).safe_substitute(self.names)

    def write_layout(self, text: str) -> Path:
        path = self.site.folder / "layout.yaml"
        path.write_text(self.layout(text))
        return path

    @contextmanager
    def working(self, jobs: tuple[str, ...] = ("unit",), decide: Decide | None = None) -> Iterator[None]:
        """With a build worker that holds its builds; what comes of them is decided by `check.sh` of what it fetches."""
        decide = decide or GitJob(self.folder / "trees")
        self.worker = SimWorker("127.0.0.1", self.site.gearman_port, "w1", jobs, decide=decide, executors=12)
        self.worker.hold()
        with self.worker:
            yield

    # People

    def push(self, project: str, files: Mapping[str, str | None], message: str = "", **more: Any) -> Pushed:
        message = message or f"Add {', '.join(files)}"
        return self.gerrit.push_change(self.names[project], "master", files, message, **more)

    def approve(self, change: Pushed) -> None:
        self.gerrit.vote(change, "Code-Review", 2)

    def propose(self, project: str, name: str, content: str = "x\n") -> Pushed:
        """Push a change that adds one file, and approve it."""
        change = self.push(project, {name: content})
        self.approve(change)
        return change

    def admin(self, *arguments: str) -> tuple[int, str, str]:
        """One of our commands: its exit code, and what it printed on standard output and standard error."""
        done = self.site.run(*arguments)
        return done.returncode, done.stdout, done.stderr

    # What there is to see

    def running(self) -> list[tuple[str, ...]]:
        """The builds under way, each as its job and the numbers of all changes in it, in an order of its own."""
        return sorted(map(seen, self.worker.builds))

    def wait_for_builds(self, *expected: tuple[str, ...]) -> None:
        """Until exactly these are under way: job, numbers of the changes."""
        try:
            self.worker.wait_for(lambda _: self.running() == sorted(expected), 60)
        except TimeoutError as error:
            raise AssertionError(f"running: {self.running()}, not {sorted(expected)}; {error}") from None

    def release(self, change: Pushed) -> None:
        """Let the builds that test this change go on."""
        self.worker.release(ZUUL_CHANGE=change.number)

    def wait_for_status(self, status: str, *changes: Pushed) -> None:
        for change in changes:
            wait_until(lambda change=change: self.gerrit.status(change) == status, what=f"{change.id} to be {status}")

    def wait_until_idle(self) -> None:
        wait_until(lambda: self.site.is_ready() and not self.site.items(), what="an empty page")

    def reports(self, change: Pushed) -> list[str]:
        """What was said on a change by us, without Gerrit's heading line, and with all times as 0 s."""
        texts = (message.partition("\n\n") for message in self.gerrit.messages(change))
        told = [re.sub(r" in (\d+[hms] ?)+$", " in 0s", text.strip(), flags=re.MULTILINE) for _, _, text in texts]
        return [text for text in told if text]

    def wait_for_reports(self, change: Pushed, number: int) -> list[str]:
        return wait_until(
            lambda: said if len(said := self.reports(change)) >= number else None, what=f"{number} reports"
        )

    def log(self, part: str = "scheduler") -> str:
        return (self.folder / "site" / f"{part}.log").read_text()

    def errors(self) -> list[str]:
        """What the page says is wrong."""
        errors: list[str] = (self.site.status() or {"errors": []})["errors"]
        return errors

    def wait_for_errors(self, *starts: str) -> list[str]:
        """Until the page shows one error for each of these, which begins so."""

        def found() -> list[str]:
            errors = self.errors()
            matches = len(errors) == len(starts) and all(map(str.startswith, errors, starts))
            return errors if matches else []

        return wait_until(found, what=f"errors {starts} on the page, which shows {self.errors()}")

    def wait_until_ready(self) -> None:
        wait_until(self.site.is_ready, what="a page without errors")

    def wait_for_log(self, text: str, part: str = "scheduler", times: int = 1) -> None:
        wait_until(lambda: self.log(part).count(text) >= times, what=f"{text!r} in {part}.log")

    def complaints(self) -> list[str]:
        """Lines of all logs that a quiet run does not have."""
        found = re.compile(r"^(.* (WARNING|ERROR|CRITICAL) .*|Traceback.*|\w*(Error|Exception): .*)$", re.MULTILINE)
        logs = sorted((self.folder / "site").glob("*.log"))
        return [f"{log.name}: {match[0]}" for log in logs for match in found.finditer(log.read_text())]


@contextmanager
def prepared_gate(folder: Path, gerrit: GerritSite, layout: str = GATE + ONE_JOB, **site: Any) -> Iterator[Gate]:
    """Nothing runs yet; at the end, what runs is stopped."""
    gate = Gate(folder, gerrit, layout, **site)
    try:
        yield gate
    finally:
        gate.site.stop()


@contextmanager
def running_gate(
    folder: Path,
    gerrit: GerritSite,
    layout: str = GATE + ONE_JOB,
    *,
    jobs: tuple[str, ...] = ("unit",),
    decide: Decide | None = None,
    mergers: int = 1,
    files: Mapping[str, str] = {},
    **site: Any,
) -> Iterator[Gate]:
    """All parts, ready, and a worker; `files` stand beside the layout."""
    with prepared_gate(folder, gerrit, layout, **site) as gate:
        for name, content in files.items():
            (gate.site.folder / name).write_text(content)
        gate.site.start(mergers)
        with gate.working(jobs, decide):
            gate.wait_until_ready()
            yield gate


def seen(build: SimBuild) -> tuple[str, ...]:
    """A build as its job and the numbers of all changes in it."""
    return build.job, *numbers_in(build.parameters)


def numbers_in(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Of all changes in a build."""
    changes = parameters["ZUUL_CHANGES"].split("^")  # PROJECT:BRANCH:refs/changes/NN/NUMBER/PATCHSET
    return tuple(change.split("/")[-2] for change in changes)


def expected_builds(changes: list[Pushed], *, without: Pushed | None = None) -> list[tuple[str, ...]]:
    """What the rules give for a queue of changes: each with all ahead of it; `docs` only for those of alpha."""
    queue = [change for change in changes if change != without]
    builds = [(job, queue.index(change)) for change in queue for job in ("unit", "docs")]
    return [
        (job, *(change.number for change in queue[: place + 1]))
        for job, place in builds
        if job == "unit" or queue[place].project.startswith("alpha")
    ]


class Witness:
    """Watches the events of a Gerrit by itself: the order in which changes of the gate's projects merged."""

    def __init__(self, gate: Gate) -> None:
        self._projects = set(gate.names.values())
        self.merged: list[str] = []  # numbers
        self._connected = threading.Event()
        self._watch = Watch(
            connection(gate.gerrit, gate.folder), self._hear, lambda state: self._connected.set(), clock=time.monotonic
        )
        self._thread = threading.Thread(target=self._watch.run)

    def _hear(self, line: bytes) -> None:
        try:
            trigger = parse.trigger(line, "gerrit")
        except ParseError:
            return
        if trigger.type == "change-merged" and trigger.project in self._projects:
            self.merged.append(str(trigger.number))

    def __enter__(self) -> "Witness":
        self._thread.start()
        assert self._connected.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.stop()
        self._thread.join(60)


def what_landed_was_tested(gate: Gate, change: Pushed, folder: Path) -> bool:
    """Is the tree that passed for this change the one that its branch had when it had landed?"""
    gated = {"ZUUL_CHANGE": change.number, "ZUUL_PIPELINE": "gate"}
    passed = [build for build in gate.worker.history if gated.items() <= build.parameters.items()]
    parameters = [build.parameters for build in passed if build.result == "SUCCESS"][-1]
    repository = folder / f"compare-{change.number}"
    git(folder, "init", "--quiet", "--bare", str(repository))
    git(
        repository, "fetch", "--quiet", f"{parameters['ZUUL_URL']}/{change.project}", f"{parameters['ZUUL_REF']}:tested"
    )
    git(repository, "fetch", "--quiet", str(gate.gerrit.repository(change.project)), "master:master")
    assert git(repository, "rev-parse", "tested") == parameters["ZUUL_COMMIT"]
    return git(repository, "diff", "tested", landing(repository, change)) == ""


def landing(repository: Path, change: Pushed) -> str:
    """The commit with which this change came to the branch, of a repository that has it."""
    landings = git(repository, "rev-list", "--first-parent", "--reverse", "master").split()
    return next(commit for commit in landings if contains(repository, commit, change.revision))


def contains(repository: Path, commit: str, revision: str) -> bool:
    found = subprocess.run(["git", "merge-base", "--is-ancestor", revision, commit], cwd=repository, check=False)
    return found.returncode == 0


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()
