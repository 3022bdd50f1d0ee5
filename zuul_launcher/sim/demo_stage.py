"""The machinery of the demo: a Gerrit, the site's processes, a worker that really builds, and eyes on both.

All of it lives in one folder and on the loopback address, and ends with the `with` block.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from zuul_launcher.gerrit.watch import Watch
from zuul_launcher.settings import GerritConnection, load
from zuul_launcher.sim.demo_news import Document, Landing, landing, news, said
from zuul_launcher.sim.demo_story import AT_ONCE, JOBS, LAYOUT, PROJECTS, seconds
from zuul_launcher.sim.gerrit.fetch import fetch, is_complete
from zuul_launcher.sim.gerrit.real_process import RealGerritProcess
from zuul_launcher.sim.gerrit.site import GerritSite
from zuul_launcher.sim.gerrit.stand_in import SimGerrit
from zuul_launcher.sim.site import Site, wait_until
from zuul_launcher.sim.worker import GitJob, Outcome, SimWorker

EXECUTORS = 12
LOOK_SECONDS = 0.4  # between two looks at the page
WATCH_SECONDS = 60.0
TOGETHER_SECONDS = 60.0


class Display(Protocol):
    """Where people see it."""

    def say(self, text: str) -> None:
        """One line of what happened."""

    def show(self, status: Document | None) -> None:
        """The newest state of the page."""


class DemoJob:
    """The jobs: they fetch and check the tree, and last a little so that people see them.

    Those of the gate go on when some of its changes are being built at once, however slow the machine is.
    """

    def __init__(self, folder: Path, gerrit: GerritSite) -> None:
        self._check = GitJob(folder)
        self._gerrit_git = str(gerrit.repository("lib").parent)
        self.updated = ""  # number of the change that gets a new patch set
        self._gated: set[str] = set()  # numbers of changes that have been built in the gate
        self._are_enough = threading.Event()

    def __call__(self, job: str, parameters: dict[str, Any]) -> Outcome:
        outcome = self._check(job, parameters | {"JOB_NAME": job, "GERRIT_GIT": self._gerrit_git})
        if parameters["ZUUL_PIPELINE"] == "gate":
            self._gated.add(parameters["ZUUL_CHANGE"])
            if len(self._gated) >= AT_ONCE:
                self._are_enough.set()
            self._are_enough.wait(TOGETHER_SECONDS)
        return replace(outcome, seconds=seconds(job, parameters, self.updated))

    def go_on(self) -> None:
        """Wait for nothing any more."""
        self._are_enough.set()


@dataclass
class Stage:
    folder: Path
    gerrit: GerritSite
    site: Site
    worker: SimWorker
    job: DemoJob
    landings: list[Landing] = field(default_factory=list)  # in Gerrit's order
    seen_at: float = field(default_factory=time.monotonic)  # when the page answered last
    most_at_once: int = 0  # items of the gate that were built at the same time


@contextmanager
def open_stage(folder: Path, gerrit_files: Path | None, web_port: int) -> Iterator[Stage]:
    """Starts it all. gerrit_files: of a real Gerrit, downloaded if they are not there; None
    takes the stand-in. Progress goes to stdout."""
    with ExitStack() as ends:
        gerrit = _start_gerrit(ends, folder, gerrit_files)
        with progress(f"creating projects {', '.join(PROJECTS)}"):
            for name, files in PROJECTS.items():
                gerrit.create_project(name, files)
        site = Site(folder, gerrit, LAYOUT, web_port=web_port)
        ends.callback(site.stop)
        with progress("starting Gearman server"):
            site.start_gearman()
        with progress("starting merger"):
            site.start_merger()
        with progress("starting scheduler"):
            site.start_scheduler()
        trees = folder / "builds"
        trees.mkdir()
        job = DemoJob(trees, gerrit)
        worker = SimWorker("127.0.0.1", site.gearman_port, "demo", JOBS, decide=job, executors=EXECUTORS)
        with progress(f"starting worker with {EXECUTORS} executors"):
            ends.enter_context(worker)
            ends.callback(job.go_on)
        yield Stage(folder, gerrit, site, worker, job)


def _start_gerrit(ends: ExitStack, folder: Path, files: Path | None) -> GerritSite:
    if files is None:
        with progress("starting stand-in Gerrit"):
            return ends.enter_context(SimGerrit(folder / "gerrit"))
    if not is_complete(files):
        with progress("downloading Gerrit"):
            fetch(files, f"-Dmaven.repo.local={folder / 'maven'}")
    with progress("starting Gerrit"):
        return ends.enter_context(RealGerritProcess(folder / "gerrit", files))


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Says what is being done, and how long it took."""
    sys.stdout.write(f"{what} ... ")
    sys.stdout.flush()
    began = time.monotonic()
    try:
        yield
    except BaseException:
        sys.stdout.write("\n")
        raise
    sys.stdout.write(f"{time.monotonic() - began:.1f} s\n")
    sys.stdout.flush()


@contextmanager
def watched(stage: Stage, display: Display) -> Iterator[None]:
    """Tells the display what Gerrit and the page show, and keeps what lands."""
    connection = load(stage.site.config).connections["gerrit"]
    assert isinstance(connection, GerritConnection)
    is_watching, is_over = threading.Event(), threading.Event()

    def receive(line: bytes) -> None:
        event = json.loads(line)
        if landed := landing(event):
            stage.landings.append(landed)
        if text := said(event):
            display.say(text)

    def follow(state: str) -> None:
        if state == "connected":
            is_watching.set()

    watch = Watch(connection, receive, follow, clock=time.time)
    threads = [_thread(watch.run), _thread(lambda: _look(stage, display, is_over))]
    try:
        wait_until(is_watching.is_set, WATCH_SECONDS, "Gerrit's events")
        yield
    finally:
        watch.stop()
        is_over.set()
        for thread in threads:
            thread.join()


def _look(stage: Stage, display: Display, is_over: threading.Event) -> None:
    before: Document | None = None
    while not is_over.wait(LOOK_SECONDS):
        after = stage.site.status()
        if after is None:
            continue
        stage.seen_at = time.monotonic()
        told = [build.parameters for build in stage.worker.builds]
        gated = {parameters["ZUUL_CHANGE"] for parameters in told if parameters["ZUUL_PIPELINE"] == "gate"}
        stage.most_at_once = max(stage.most_at_once, len(gated))
        for line in news(before, after):
            display.say(line)
        display.show(after)
        before = after


def _thread(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
