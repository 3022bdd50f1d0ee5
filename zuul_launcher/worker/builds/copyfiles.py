"""Publishes files of a build to a log site. The console goes last of all: it is complete then.

Without `keep_hierarchy` files lie side by side in the target, under their own names. A link is followed if it stays
among the files, else left out.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from zuul_launcher.worker.builds.abort import Abort
from zuul_launcher.worker.builds.artifacts import NotPublished, fetch
from zuul_launcher.worker.builds.bench import Bench, deadline
from zuul_launcher.worker.builds.limits import Limits
from zuul_launcher.worker.builds.logsites import below, opened
from zuul_launcher.worker.builds.outcome import SUCCESS, UNSTABLE
from zuul_launcher.worker.builds.parameters import expand
from zuul_launcher.worker.definitions.job import Copy, CopyFiles, Site
from zuul_launcher.worker.places import BuildFolder

CONSOLE = "console.txt"


def is_wanted(part: CopyFiles, so_far: str | None) -> bool:
    return part.copy_after_failure or so_far in (SUCCESS, UNSTABLE)


def copy_files(bench: Bench, publisher: Copy, sites: Mapping[str, Site], so_far: str | None, seconds: float) -> None:
    """All but the console. Raises NotPublished, Aborted, NodeLost."""
    parts = [part for part in publisher.files if part.source and is_wanted(part, so_far)]
    if not parts:
        return
    staging = Path(tempfile.mkdtemp(dir=bench.folder.path, prefix="publish-"))
    try:
        with opened(site_of(publisher, sites), bench.limits.connect_timeout, _check(bench.abort, seconds)) as site:
            for number, part in enumerate(parts):
                target = below(expand(part.target, bench.words))
                found = staging / str(number)
                fetch(bench, [part.source], part.excludes, found, seconds)
                count = 0
                for path in _files(found):
                    name = path.relative_to(found) if part.keep_hierarchy else path.name
                    site.put(path, target / name)
                    count += 1
                bench.console.note(f"[{count} files of {part.source} copied to {publisher.site}]")
    except OSError as error:
        raise NotPublished(f"the site {publisher.site}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def copy_console(
    publisher: Copy,
    sites: Mapping[str, Site],
    words: Mapping[str, str],
    folder: BuildFolder,
    so_far: str | None,
    limits: Limits,
    abort: Abort,
    seconds: float,
) -> None:
    """When all else is over. Raises NotPublished, Aborted."""
    parts = [part for part in publisher.files if part.copy_console and is_wanted(part, so_far)]
    if not parts:
        return
    try:
        with opened(site_of(publisher, sites), limits.connect_timeout, _check(abort, seconds)) as site:
            for part in parts:
                site.put(folder.console, below(expand(part.target, words)) / CONSOLE)
    except OSError as error:
        raise NotPublished(f"the site {publisher.site}: {error}") from error


def _check(abort: Abort, seconds: float) -> Callable[[], None]:
    """What is asked between two pieces: a site may take them for ever."""
    left = deadline(seconds)

    def check() -> None:
        abort.check()
        if left() == 0.0:
            raise NotPublished(f"the copies were not done within {seconds:g} s")

    return check


def site_of(publisher: Copy, sites: Mapping[str, Site]) -> Site:
    if publisher.site not in sites:
        raise NotPublished(f"there is no site {publisher.site!r}")
    return sites[publisher.site]


def _files(folder: Path) -> Iterator[Path]:
    inside = os.path.realpath(folder)
    for path, _, names in os.walk(folder):
        for name in sorted(names):
            found = Path(path) / name
            real = os.path.realpath(found)
            if real.startswith(inside + "/") and Path(real).is_file():
                yield found
