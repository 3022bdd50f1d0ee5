"""The machinery of the demo: a Gerrit, the site's processes, a worker among them, and eyes on all of it.

All of it lives in one folder and on the loopback address, and ends with the `with` block.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from zuul_launcher.gerrit.watch import Watch
from zuul_launcher.settings import GerritConnection, load
from zuul_launcher.sim.demo_builds import SeenBuild, SeenBuilds
from zuul_launcher.sim.demo_jobs import jobs_file, together
from zuul_launcher.sim.demo_news import Document, Landing, landing, news, said
from zuul_launcher.sim.demo_story import AT_ONCE, LAYOUT, PROJECTS
from zuul_launcher.sim.gerrit.fetch import fetch, is_complete
from zuul_launcher.sim.gerrit.real_process import RealGerritProcess
from zuul_launcher.sim.gerrit.site import GerritSite
from zuul_launcher.sim.gerrit.stand_in import SimGerrit
from zuul_launcher.sim.site import EXECUTORS, Site, wait_until

LOOK_SECONDS = 0.4  # between two looks at the pages
WATCH_SECONDS = 60.0


class Display(Protocol):
    """Where people see it."""

    def say(self, text: str) -> None:
        """One line of what happened."""

    def show(self, status: Document | None) -> None:
        """The newest state of the page."""


@dataclass
class Stage:
    folder: Path
    gerrit: GerritSite
    site: Site
    worker: SeenBuilds
    builds: tuple[SeenBuild, ...] = ()  # at the newest look
    landings: list[Landing] = field(default_factory=list)  # in Gerrit's order
    seen_at: float = field(default_factory=time.monotonic)  # when both pages answered last
    most_at_once: int = 0  # items of the gate that were built at the same time


@contextmanager
def open_stage(folder: Path, gerrit_files: Path | None, web_port: int, worker_port: int) -> Iterator[Stage]:
    """Starts it all. gerrit_files: of a real Gerrit, downloaded if they are not there; None
    takes the stand-in. Progress goes to stdout."""
    with ExitStack() as ends:
        gerrit = _start_gerrit(ends, folder, gerrit_files)
        with progress(f"creating projects {', '.join(PROJECTS)}"):
            for name, files in PROJECTS.items():
                gerrit.create_project(name, files)
        jobs = jobs_file(folder, gerrit.repository("lib").parent)
        site = Site(folder, gerrit, LAYOUT, web_port=web_port, jobs=jobs, worker_port=worker_port)
        ends.callback(site.stop)
        with progress("starting Gearman server"):
            site.start_gearman()
        with progress("starting merger"):
            site.start_merger()
        with progress(f"starting worker with {EXECUTORS} executors"):
            site.start_worker()
        with progress("starting scheduler"):
            site.start_scheduler()
        yield Stage(folder, gerrit, site, SeenBuilds(site))


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
        if after is None or not _look_at_builds(stage):
            continue
        stage.seen_at = time.monotonic()
        for line in news(before, after):
            display.say(line)
        display.show(after)
        before = after


def _look_at_builds(stage: Stage) -> bool:
    """When enough changes of the gate are built at once their builds go on. False: the worker does not answer."""
    try:
        stage.builds = stage.worker.look()
    except OSError:
        return False
    gated = {build.parameters["ZUUL_CHANGE"] for build in stage.builds if build.is_building and build.is_gated}
    stage.most_at_once = max(stage.most_at_once, len(gated))
    if stage.most_at_once >= AT_ONCE:
        together(stage.folder).touch()
    return True


def _thread(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
