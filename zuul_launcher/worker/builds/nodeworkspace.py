"""What a build needs on the node before and after its steps, each in one call: workspace, temporary folder, files.

A workspace belongs to one build: the lock is held by this process, so it falls with it, whatever ended it. Beside it
stands who has it. Runs on nodes too: Python 3.8, remoting and standard library only.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from zuul_launcher.remoting import nodesweep
from zuul_launcher.remoting.context import check_cancelled, current_channel
from zuul_launcher.remoting.trees import delete_tree

if TYPE_CHECKING:
    from zuul_launcher.remoting import Channel

PRIVATE = 0o700
_NUMBERS_A_SECOND = 5_000  # of processes: more than any machine starts
_STALE = ("index.lock", "shallow.lock", "config.lock", "HEAD.lock", "packed-refs.lock")

_held: WeakKeyDictionary[Channel, dict[str, int]] = WeakKeyDictionary()
_guard = threading.Lock()


@dataclass(frozen=True)
class Preparation:
    """`files`: below the temporary folder, content and mode. `sources`: where a repository of git may be."""

    token: str  # whose lock it is
    holder: str  # what stands in the lock
    temporary: str
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    clean_first: bool = False
    sources: str = ""


def prepare(path: str, wanted: Preparation) -> dict[str, Any]:
    """`{"busy": HOLDER}`, or `{"clock": TIME, "has_sources": ...}`: Unix time as this file system has it.

    The temporary folder is new: nothing of an earlier build is left in it.
    """
    workspace = Path(path)
    workspace.parent.mkdir(parents=True, exist_ok=True)
    busy = _lock(workspace, wanted.token, wanted.holder)
    if busy is not None:
        return {"busy": busy}
    try:
        if wanted.clean_first:
            delete_tree(str(workspace))
        workspace.mkdir(exist_ok=True)
        delete_tree(wanted.temporary)
        temporary = Path(wanted.temporary)
        temporary.mkdir(mode=PRIVATE)
        clock = time.time()
        for name, (content, mode) in wanted.files.items():
            clock = _write(temporary / name, content, mode)
        has_sources = bool(wanted.sources) and _has_sources(Path(wanted.sources))
        check_cancelled()
    except BaseException:
        _unlock(wanted.token)
        raise
    return {"clock": clock, "has_sources": has_sources}


@dataclass(frozen=True)
class Remains:
    """What a build may have left running: processes with this variable, none older than the first of them."""

    name: str
    value: str
    first: int  # number of a process
    seconds: float  # since it was started
    grace: float


def finish(workspace: str, token: str, temporary: str, remains: Remains | None, clean: bool) -> list[str]:
    """Ends what the build left running, takes away what it needed, frees the workspace; what did not work."""
    problems = []
    try:
        if remains is not None and _may_run(remains):
            nodesweep.end_marked({remains.name: remains.value}, remains.grace)
        for path in (temporary, workspace if clean else ""):
            try:
                if path:
                    delete_tree(path)
            except OSError as error:
                problems.append(f"{path} could not be removed: {error}")
    finally:
        _unlock(token)
    return problems


def borrow(repository: str, objects: str) -> None:
    """Lets a repository use the objects of another one that is there."""
    if Path(objects).is_dir():
        info = Path(repository) / ".git" / "objects" / "info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "alternates").write_text(objects + "\n")


def _may_run(remains: Remains) -> bool:
    """Whether one of them is there. To look at all processes takes long, and mostly there is none.

    Numbers are given out in turn, so only those after the first can be of this build, as long as they have not come
    round: see proc(5), /proc/loadavg and /proc/sys/kernel/pid_max.
    """
    mark = f"{remains.name}={remains.value}\0".encode("utf-8", "surrogateescape")
    try:
        last = int(Path("/proc/loadavg").read_text().split()[-1])
        if remains.seconds * _NUMBERS_A_SECOND >= int(Path("/proc/sys/kernel/pid_max").read_text()):
            return True
    except (OSError, ValueError):
        return True
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed of thousands
        if name.isdigit() and is_between(remains.first, int(name), last) and mark in _environment(name):
            return True
    return False


def is_between(first: int, number: int, last: int) -> bool:
    """Counted on from the first, beginning anew after the greatest."""
    return first <= number <= last if first <= last else number >= first or number <= last


def _environment(process: str) -> bytes:
    try:
        return Path("/proc", process, "environ").read_bytes()
    except OSError:
        return b""


def _write(path: Path, content: bytes, mode: int) -> float:
    """A new file; when it was modified."""
    if path.parent.name == "params":
        path.parent.mkdir(mode=PRIVATE, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(content)
        file.flush()
        os.fchmod(descriptor, mode)
        return os.fstat(descriptor).st_mtime


def _has_sources(folder: Path) -> bool:
    """Whether git has begun here. What a git that was killed has locked is free: nobody else is in this workspace."""
    try:
        if not stat.S_ISDIR((folder / ".git").lstat().st_mode):
            return False
    except OSError:
        return False
    for name in _STALE:
        try:
            (folder / ".git" / name).unlink()
        except OSError:
            continue
    return (folder / ".git" / "HEAD").exists()


def _lock(workspace: Path, token: str, holder: str) -> str | None:
    """None: it is ours now. Else who has it."""
    channel = current_channel()
    path = f"{workspace}@lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.read(descriptor, 1000).decode(errors="replace").strip()
        os.close(descriptor)
        return said or "somebody"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{holder}, process {os.getpid()} here\n".encode(), 0)
    with _guard:
        is_first = channel not in _held
        _held.setdefault(channel, {})[token] = descriptor
    if is_first:
        channel.on_close(lambda cause: _unlock_all(channel))
    return None


def _unlock(token: str) -> None:
    with _guard:
        descriptor = _held.get(current_channel(), {}).pop(token, None)
    if descriptor is not None:
        os.close(descriptor)


def _unlock_all(channel: Channel) -> None:
    with _guard:
        descriptors = list(_held.pop(channel, {}).values())
    for descriptor in descriptors:
        os.close(descriptor)
