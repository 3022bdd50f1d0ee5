"""Files of the workspace that the manager keeps: fetched as one stream, never more than a build may have."""

import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from zuul_launcher.errors import ZuulLauncherError
from zuul_launcher.remoting import Pipe, globs, nodefiles
from zuul_launcher.remoting.errors import Cancelled
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.filestreams import Counted
from zuul_launcher.worker.builds.bench import Bench, node_errors
from zuul_launcher.worker.definitions.job import Artifacts


class NotPublished(ZuulLauncherError):
    """A publisher did not do its work; the text is for the console."""


def keep(bench: Bench, publisher: Artifacts, seconds: float) -> None:
    """Raises NotPublished, Aborted, NodeLost."""
    patterns, excludes = publisher.paths, publisher.excludes
    fetch(bench, patterns, excludes, bench.folder.artifacts, seconds)
    if not publisher.allow_empty and not has_files(bench.folder.artifacts, patterns, excludes):
        raise NotPublished(f"no file of the workspace is of {', '.join(patterns)}")


def fetch(bench: Bench, patterns: Sequence[str], excludes: Sequence[str], target: Path, seconds: float) -> None:
    """What matches, with its folders, below `target`: all of it or nothing. Raises NotPublished, Aborted, NodeLost."""
    incoming = Path(tempfile.mkdtemp(dir=bench.folder.path, prefix="incoming-"))
    try:
        _receive(bench, patterns, excludes, incoming, seconds)
        _move(incoming, target)
    except OSError as error:
        raise NotPublished(f"the files were not kept: {error}") from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _receive(bench: Bench, patterns: Sequence[str], excludes: Sequence[str], target: Path, seconds: float) -> None:
    left = bench.limits.artifact_bytes - size(bench.folder.artifacts)
    pipe = Pipe.to_local()

    def count(data: int) -> None:
        nonlocal left
        left -= data
        if left < 0:
            raise NotPublished(f"these are more than the {bench.limits.artifact_bytes} bytes that a build may keep")

    def end(why: str) -> None:
        future.cancel()
        pipe.reader.end(NotPublished(why))

    try:
        with node_errors():
            arguments = (nodefiles.pack_into, str(bench.workspace), pipe, [*patterns], [*excludes])
            future = bench.channel.call_async(*arguments)
            timer = threading.Timer(seconds, end, [f"the files did not come within {seconds:g} s"])
            timer.daemon = True
            timer.start()
            try:
                with bench.abort.reaction(partial(end, "aborted")), pipe.reader:
                    FilePath(None, str(target)).untar_from(cast(BinaryIO, Counted(pipe.reader, count)))
                copied = future.result(seconds)
            finally:
                timer.cancel()
                future.cancel()
    except (OSError, ValueError, NotPublished, Cancelled) as error:
        bench.abort.check()
        raise NotPublished(f"the files were not kept: {error}") from error
    for path in copied.left_out:
        bench.console.note(f"[left out, since it is a device or a link out of the workspace: {path}]")


def _move(source: Path, target: Path) -> None:
    """What is there already is replaced."""
    target.mkdir(parents=True, exist_ok=True)
    for path, folders, names in os.walk(source):
        there = target / Path(path).relative_to(source)
        if there.is_symlink():  # of files kept before: nothing is put where it leads to
            there.unlink()
        there.mkdir(exist_ok=True)
        links = [name for name in folders if (Path(path) / name).is_symlink()]
        for name in (*names, *links):
            (Path(path) / name).replace(there / name)


def has_files(folder: Path, patterns: Sequence[str], excludes: Sequence[str]) -> bool:
    """Whether something that is no folder matches."""
    selection = globs.select(patterns, excludes)
    for path, _, names in os.walk(folder):
        for name in names:
            places = selection.start()
            for part in (Path(path) / name).relative_to(folder).parts:
                places = selection.enter(places, part)
            if selection.is_match(places):
                return True
    return False


def size(folder: Path) -> int:
    return sum((Path(path) / name).lstat().st_size for path, _, names in os.walk(folder) for name in names)
