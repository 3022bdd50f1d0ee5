"""Finds the workspace of a build and gives it back: one build has it at a time, from its sources to its clean-up.

On this manager that is a matter of turns; a lock on the node keeps other managers out. A job that may run several
times at once gets the first of JOB, JOB@2, JOB@3 that nobody has; a workspace that the job names is waited for.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from msgspec import Struct

from zuul_launcher.errors import ZuulLauncherError
from zuul_launcher.remoting import Channel
from zuul_launcher.remoting.errors import RemotingError
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.worker.builds import nodeworkspace
from zuul_launcher.worker.builds.abort import Abort
from zuul_launcher.worker.builds.bench import Bench, Unavailable, call
from zuul_launcher.worker.builds.environment import COOKIE
from zuul_launcher.worker.builds.limits import Limits
from zuul_launcher.worker.builds.turns import Thing, Turns
from zuul_launcher.worker.definitions.job import Job
from zuul_launcher.worker.places import folder_name

MOST = 1000


class Found(Struct, frozen=True):
    """A workspace that is ours, and what is in it."""

    path: FilePath
    temporary: FilePath
    token: str
    clock: float  # Unix time, as the file system of the node has it
    has_sources: bool


class Seeker(Struct, frozen=True, kw_only=True):
    """Who looks for a workspace. `files`: from workspace and temporary folder to what is to be in the latter."""

    job: Job
    node: str
    root: FilePath  # of the node
    holder: str  # what others read who find it locked
    files: Callable[[FilePath, FilePath], Mapping[str, tuple[bytes, int]]]
    turns: Turns
    abort: Abort
    limits: Limits
    note: Callable[[str], None]

    @property
    def channel(self) -> Channel:
        assert self.root.channel is not None, "nodes are reached by channels"
        return self.root.channel


def turns_of(job: Job, node: str) -> dict[Thing, int]:
    """What a build of this job waits for before it begins."""
    wanted: dict[Thing, int] = {}
    if not job.concurrent:
        wanted["job", job.name] = 1
    if job.throttle is not None:
        wanted["group", job.throttle.group] = job.throttle.most
    if job.workspace:
        wanted["workspace", node, job.workspace] = 1
    return wanted


@contextmanager
def found(seeker: Seeker) -> Iterator[Found]:
    """A workspace for the block, which ends it with `clear`. Raises Aborted, NodeLost, Unavailable."""
    seeker.channel.allow(nodeworkspace.__name__)
    name = folder_name(seeker.job.name)
    if seeker.job.workspace:
        path, told = _beside(seeker.root, seeker.job.workspace), ""
        while isinstance(place := _prepared(seeker, path), str):
            if place != told:
                seeker.note(f"[the workspace {path} is used by {place}: waiting for it]")
                told = place
            seeker.abort.wait(seeker.limits.busy_pause)
        yield place
        return
    numbers = list(range(1, MOST))
    while numbers:
        keys = (("workspace", seeker.node, name, number) for number in numbers)
        with seeker.turns.first_free(keys) as (*_, number):
            path = seeker.root / "workspace" / (name if number == 1 else f"{name}@{number}")
            place = _prepared(seeker, path)
            if isinstance(place, Found):
                yield place
                return
        numbers = [each for each in numbers if each > number]
    raise Unavailable(f"node {seeker.node}: all workspaces of {seeker.job.name} are in use")


def clear(seeker: Seeker, place: Found, bench: Bench, grace: float, clean: bool) -> list[str]:
    """Ends what the build left running, gives the workspace back; what did not work. Raises NodeLost, Unavailable."""
    remains = None
    if bench.first_process:
        seconds = time.monotonic() - bench.started_at
        remains = nodeworkspace.Remains(COOKIE, bench.cookie, bench.first_process, seconds, grace)
    arguments = (str(place.path), place.token, str(place.temporary), remains, clean)
    problems = call(seeker.channel, Abort(), seeker.limits.node_timeout, nodeworkspace.finish, *arguments)
    return [str(problem) for problem in problems]


def _beside(root: FilePath, path: str) -> FilePath:
    return FilePath(root.channel, path) if path.startswith("/") else root / path


def _prepared(seeker: Seeker, path: FilePath) -> Found | str:
    """Or who has it."""
    temporary = FilePath(path.channel, f"{path}@tmp")
    token = secrets.token_hex(16)
    scm = seeker.job.scm
    wanted = nodeworkspace.Preparation(
        token=token,
        holder=seeker.holder,
        temporary=str(temporary),
        files=dict(seeker.files(path, temporary)),
        clean_first=seeker.job.clean_first,
        sources="" if scm is None else str(path / scm.folder if scm.folder else path),
    )
    try:
        answer = call(
            seeker.channel, seeker.abort, seeker.limits.node_timeout, nodeworkspace.prepare, str(path), wanted
        )
    except (RemotingError, ZuulLauncherError):
        _give_up(seeker, path, token)
        raise
    if "busy" in answer:
        return str(answer["busy"])
    return Found(path, temporary, token, float(answer["clock"]), bool(answer["has_sources"]))


def _give_up(seeker: Seeker, path: FilePath, token: str) -> None:
    """The node may still be at it: it learns that nobody wants the lock."""
    try:
        seeker.channel.call_async(nodeworkspace.finish, str(path), token, "", None, False)
    except RemotingError:
        pass  # it is lost, and the lock with it
