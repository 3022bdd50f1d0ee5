"""Brings the sources of a build into its workspace: exactly the ref that is asked for, and the commit if one is named.

URL, ref and commit come from outside. They are arguments after `--`, and must look like what they are; no option, no
program and no protocol of git's choosing comes of them.
"""

import hashlib
import logging
import re
from collections.abc import Sequence

from msgspec import Struct

from zuul_launcher.errors import RequestError
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.launcher import LaunchError
from zuul_launcher.worker.builds import nodeworkspace
from zuul_launcher.worker.builds.bench import Bench, Seen, TimeLimit, Unavailable, call, run
from zuul_launcher.worker.builds.outcome import FAILURE, SUCCESS
from zuul_launcher.worker.builds.parameters import expand
from zuul_launcher.worker.builds.turns import Turns
from zuul_launcher.worker.definitions.job import Git

PROTOCOLS = "file:git:http:https:ssh"
_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.IGNORECASE)
_REF = re.compile(r"[^\s\x00-\x20\x7f~^:?*\[\\-][^\s\x00-\x20\x7f~^:?*\[\\]*")
_VANISHED = b"couldn't find remote ref"
_SILENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_ALLOW_PROTOCOL": PROTOCOLS,
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    "LC_ALL": "C",
}
_OPTIONS = ("-c", "advice.detachedHead=false", "-c", "core.hooksPath=/dev/null")
_NO_PACKING = ("-c", "gc.auto=0")  # git would do that after its end, when nobody keeps others out: `_tidy` does it
# A pack of this size stays as it is: builds wait for this.
_PACKING = ("-c", "gc.autoDetach=false", "-c", "gc.bigPackThreshold=256m")
# Workspaces borrow also what no branch names any more.
_LOSING_NOTHING = ("-c", "gc.pruneExpire=never", "-c", "gc.cruftPacks=true")

log = logging.getLogger("zuul_launcher.worker.builds.scm")


class Source(Struct, frozen=True, kw_only=True):
    """What is to be fetched, checked. `commit`: empty if it is whatever the ref is."""

    url: str
    ref: str
    commit: str


def source(scm: Git, texts: dict[str, str]) -> Source:
    """With the parameters in it. RequestError: something of it is none."""
    url, ref, commit = (expand(text, texts).strip() for text in (scm.url, scm.ref, scm.commit))
    if not url or url.startswith("-") or not url.isprintable():
        raise RequestError(f"{url!r} is no URL of a repository")
    if not _REF.fullmatch(ref) or ".." in ref or "@{" in ref:
        raise RequestError(f"{ref!r} is no name of a ref")
    if commit and not _COMMIT.fullmatch(commit):
        raise RequestError(f"{commit!r} is no commit")
    return Source(url=url, ref=ref, commit=commit)


def check_out(bench: Bench, turns: Turns) -> str:
    """SUCCESS, or FAILURE if the ref does not hold the commit. Adds GIT_COMMIT, GIT_BRANCH and GIT_URL.

    Raises Unavailable (the ref has vanished, the server cannot be reached), Aborted, NodeLost."""
    scm = bench.job.scm
    if scm is None:
        return SUCCESS
    try:
        wanted = source(scm, dict(bench.texts))
        _Repository(bench, scm, wanted, turns).check_out()
    except (RequestError, _Failed) as error:
        bench.console.note(f"[no sources: {error}]")
        return FAILURE
    except LaunchError as error:
        raise Unavailable(f"git cannot be started on {bench.node}: {error.strerror}") from error
    except TimeLimit as error:
        raise Unavailable(f"git: {error}") from error
    return SUCCESS


class _Failed(RequestError):
    """git said no, and will say it again."""


class _Repository:
    def __init__(self, bench: Bench, scm: Git, wanted: Source, turns: Turns) -> None:
        self._bench, self._scm, self._wanted, self._turns = bench, scm, wanted, turns
        self._folder = bench.workspace / scm.folder if scm.folder else bench.workspace

    def check_out(self) -> None:
        bench, wanted = self._bench, self._wanted
        if not bench.has_sources:
            self._begin()
        self._fetch()
        commit = wanted.commit or self._fetched()
        if wanted.commit and self._git("merge-base", "--is-ancestor", commit, "FETCH_HEAD"):
            raise _Failed(f"{wanted.ref} of {wanted.url} does not hold the commit {commit}")
        self._must("checkout", "--quiet", "--force", "--detach", commit)
        if self._scm.clean:
            self._must("clean", "--quiet", "-ffdx")
        if self._scm.submodules:
            self._must("submodule", "sync", "--quiet", "--recursive")
            self._update_submodules()
        self._tidy()
        bench.console.note(f"[{wanted.url} {wanted.ref} at {commit}]")
        branch = wanted.ref.removeprefix("refs/heads/")
        bench.variables |= {"GIT_COMMIT": commit, "GIT_BRANCH": branch, "GIT_URL": wanted.url}

    def _begin(self) -> None:
        """A new repository, which borrows what the node has of this one already."""
        store = self._bench.root / "git" / hashlib.sha256(self._wanted.url.encode()).hexdigest()[:32]
        with self._turns.taken({("git", self._bench.node, str(store)): 1}, self._bench.abort):
            if self._in(self._bench.root, "init", "--quiet", "--bare", "--", str(store)):
                raise Unavailable(f"git cannot make {store}")
            fetched = self._in(
                store, "fetch", "--quiet", "--no-tags", "--", self._wanted.url, "+refs/heads/*:refs/heads/*"
            )
            if not fetched:
                self._pack(store, "gc", "--auto", "--quiet", options=_LOSING_NOTHING)
        if self._in(self._bench.workspace, "init", "--quiet", "--", str(self._folder)):
            raise Unavailable(f"git cannot make {self._folder}")
        if not fetched:
            arguments = (nodeworkspace.borrow, str(self._folder), str(store / "objects"))
            call(self._bench.channel, self._bench.abort, self._bench.limits.node_timeout, *arguments)

    def _fetch(self) -> None:
        """As often as there are pauses, and once more."""
        pauses = self._bench.limits.fetch_pauses
        for pause in (*pauses, None):
            seen = Seen(self._bench.console)
            refspec = f"+{self._wanted.ref}"
            if not self._git("fetch", "--quiet", "--no-tags", "--", self._wanted.url, refspec, output=seen):
                return
            if _VANISHED in seen.last:
                raise Unavailable(f"{self._wanted.ref} is not there any more at {self._wanted.url}")
            if pause is not None:
                self._bench.console.note(f"[{self._wanted.url} cannot be fetched: again in {pause:g} s]")
                self._bench.abort.wait(pause)
        raise Unavailable(f"{self._wanted.url} could not be fetched in {len(pauses) + 1} tries")

    def _fetched(self) -> str:
        said = Seen(None)
        if self._git("rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}", output=said):
            raise _Failed(f"{self._wanted.ref} of {self._wanted.url} is no commit")
        return said.last.decode("ascii", "replace").strip()

    def _update_submodules(self) -> None:
        for pause in (*self._bench.limits.fetch_pauses, None):
            if not self._git("submodule", "update", "--quiet", "--init", "--recursive", "--force"):
                break
            if pause is None:
                raise Unavailable(f"the submodules of {self._wanted.url} could not be fetched")
            self._bench.abort.wait(pause)
        if self._scm.clean:
            self._must("submodule", "--quiet", "foreach", "--recursive", "git clean --quiet -ffdx")

    def _tidy(self) -> None:
        self._pack(self._folder, "gc", "--auto", "--quiet")
        if self._scm.submodules:
            self._pack(self._folder, "submodule", "--quiet", "foreach", "--recursive", "git gc --auto --quiet")

    def _pack(self, folder: FilePath, *arguments: str, options: Sequence[str] = ()) -> None:
        """Many small packs become one. If that cannot be done, the build goes on all the same."""
        said = Seen(None)
        try:
            status = self._in(folder, *arguments, output=said, options=(*_PACKING, *options))
            problem = said.last.decode(errors="replace").strip() or f"status {status}" if status else ""
        except TimeLimit as error:
            problem = str(error)
        if problem:
            log.warning("%s: packs of %s were not put together: %s", self._bench.node, folder, problem)
            self._bench.console.note(f"[packs of {folder} were not put together: {problem}]")

    def _must(self, *arguments: str) -> None:
        if status := self._git(*arguments):
            raise _Failed(f"git {arguments[0]} ended with status {status}")

    def _git(self, *arguments: str, output: Seen | None = None) -> int:
        return self._in(self._folder, *arguments, output=output)

    def _in(
        self,
        folder: FilePath,
        *arguments: str,
        output: Seen | None = None,
        options: Sequence[str] = _NO_PACKING,
    ) -> int:
        variables = {**_trusted(self._bench), **_SILENT}
        seconds = self._bench.limits.git_timeout
        command: Sequence[str] = ("git", *_OPTIONS, *options, *arguments)
        return run(self._bench, command, variables=variables, folder=folder, seconds=seconds, output=output)


def _trusted(bench: Bench) -> dict[str, str]:
    """Without parameters that would tell git what to run."""
    return {
        name: text
        for name, text in bench.variables.items()
        if not (name in bench.texts and name.startswith(("GIT_", "SSH_ASKPASS")))
    }
