"""Git work on one bare repository: fetch what a request needs, look refs up by exact names, publish merged states.

Workers clone from here, so where a branch's tip is needed all branches and tags come along in the same fetch, and those
that are gone at the server go. HEAD names the server's default branch.

No command here lists the merged states (refs/zuul/…), of which there may be a hundred thousand. Fetches run in the side
directory, which has branches and tags alone: git goes over all refs of the directory in which it fetches.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from zuul_launcher.errors import RemoteError, RemoteRefused, RemoteUnavailable
from zuul_launcher.git import Answer, Git, one_line
from zuul_launcher.merger.names import check_ref, is_object_id
from zuul_launcher.merger.place import SIDE, make_side, remove_stale_files, side_of

_MIRROR = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "^refs/heads/refs/*", "^refs/tags/refs/*")
_FETCHED = re.compile(r"([0-9a-f]{40})\t[^\t]*\t(?:(branch |tag |remote-tracking branch |)'([^ ]+)' of )?")
_FOLDERS = {"branch ": "refs/heads/", "tag ": "refs/tags/", "remote-tracking branch ": "refs/remotes/", "": ""}
_MISSING_REF = re.compile(r"couldn't find remote ref (\S+)")
_REFUSED = re.compile(
    r"project .*not found|repository .*not found|not a git (archive|repository)|does not appear to be a git repository"
    r"|transport '.*' not allowed|is not permitted|not our ref",
    re.IGNORECASE,
)
_NOT_KEPT = re.compile(r".*(cannot (lock|update) ref|some local refs could not be updated).*")
# What our own ssh says about a host key; it may be longer than `one_line`.
_LINE_FOR_KNOWN_HOSTS = re.compile(r"(add this line to|replace the line of) [^\x00-\x1f\x7f-\x9f]+")

log = logging.getLogger(__name__)


class _NotAllKept(RemoteUnavailable):
    """All was fetched, but some branches or tags could not be kept here (or some that are gone not be removed)."""


class Repository:
    """One project's repository. ``git`` carries the environment; access to the server comes with each fetch."""

    def __init__(self, git_dir: Path, git: Git) -> None:
        self.git_dir = git_dir
        self.git = git.at(git_dir)
        self._side = side_of(git_dir, git)
        if not (git_dir / SIDE / "HEAD").is_file():
            # A repository of v2: what it has need not be fetched again.
            make_side(git_dir)
            _write_refs(self._side, _branches_and_tags(self.git), {})

    def look_up(self, refs: Iterable[str]) -> dict[str, str]:
        """The commits of those refs that exist, by exact full names."""
        names = list(refs)
        asked = "".join(f"{name}^{{commit}}\n" for name in names).encode("utf-8")
        answers = self.git.run("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked).lines()
        found = (answer.partition(" ") for answer in answers)
        return {name: commit for name, (commit, _, kind) in zip(names, found, strict=True) if kind == "commit"}

    def fetch(self, url: str, ssh_command: str, branches: Sequence[str], refs: Sequence[str]) -> dict[str, str]:
        """Fetch branches (short names) and other refs (full names, not kept), all at once.

        With a branch come all branches and tags, as by `mirror`.

        :returns: the commit of each, by full name.
        :raises RemoteRefused: one of them, or the project, does not exist there.
        :raises RemoteUnavailable: the server was not reached in time.
        """
        wanted = list(dict.fromkeys([*(f"refs/heads/{branch}" for branch in branches), *refs]))
        if not branches:
            self._fetch(url, ssh_command, wanted)
        elif self._mirror(url, ssh_command, wanted) and self._head() not in _branches_and_tags(self.git):
            self._follow_head(url, ssh_command)
        fetched = self._fetched()
        for name in wanted:
            if name not in fetched:
                raise RemoteRefused(f"{name} is not fetched from {url}: it is named like a ref of another kind")
        return {name: fetched[name] for name in wanted}

    def mirror(self, url: str, ssh_command: str) -> None:
        """Fetch all branches and tags, forget those that are gone there, and follow HEAD. Errors as `fetch`."""
        try:
            self._mirror(url, ssh_command, ["HEAD"])
        except RemoteRefused:
            # The server's HEAD names a branch that does not exist; or the server says no again.
            self._mirror(url, ssh_command, ())
        fetched = self._fetched()
        if fetched.get("HEAD") != fetched.get(self._head()):
            self._follow_head(url, ssh_command)

    def point_head(self, branch: str) -> None:
        """Let HEAD name a branch (full name), for those who clone from here."""
        self.git.run("symbolic-ref", "HEAD", branch)

    def publish(self, commits: Mapping[str, str]) -> None:
        """Set refs (full names) to commits, all or none."""
        _write_refs(self.git, commits, {})

    def parents_and_tree(self, commit: str) -> tuple[str, list[str]]:
        """Tree and parents of a commit."""
        header = self.read_commit(commit).partition(b"\n\n")[0].decode("utf-8", "replace").split("\n")
        tree = next(line.removeprefix("tree ") for line in header if line.startswith("tree "))
        return tree, [line.removeprefix("parent ") for line in header if line.startswith("parent ")]

    def read_commit(self, commit: str) -> bytes:
        """The raw commit object."""
        return self.git.run("cat-file", "commit", commit).stdout

    def _fetch(self, url: str, ssh_command: str, refspecs: Sequence[str], *options: str) -> None:
        (self.git_dir / SIDE / "FETCH_HEAD").unlink(missing_ok=True)
        _ask(
            self._side,
            url,
            ssh_command,
            *("fetch", "--quiet", "--no-tags", "--no-auto-maintenance", "--no-write-commit-graph", *options),
            *("--stdin", "--end-of-options", url),
            stdin="\n".join(refspecs).encode("utf-8"),
        )

    def _mirror(self, url: str, ssh_command: str, wanted: Sequence[str]) -> bool:
        """Fetch all branches and tags, and what is wanted besides; give whether one is new or gone."""
        try:
            self._fetch(url, ssh_command, [*wanted, *_MIRROR], "--prune")
        except _NotAllKept as error:
            if remove_stale_files(self.git_dir):  # of a fetch that was killed at its deadline
                return self._mirror(url, ssh_command, wanted)
            # One odd name at the server must not stop the merges of all other branches.
            log.warning("Not all branches and tags are as at the server: %s", error)
        return self._copy_side()

    def _copy_side(self) -> bool:
        """Make branches and tags equal to those of the side directory; give whether one is new or gone."""
        wanted, present = _branches_and_tags(self._side), _branches_and_tags(self.git)
        gone = {name: commit for name, commit in present.items() if name not in wanted}
        # Two transactions: git does not take "a" away and make "a/b" in one.
        _write_refs(self.git, {}, gone)
        _write_refs(self.git, {name: new for name, new in wanted.items() if present.get(name) != new}, {})
        return wanted.keys() != present.keys()

    def _follow_head(self, url: str, ssh_command: str) -> None:
        # Only when HEAD must have changed: the server lists all its refs, changes too, as no fetch makes it do.
        if head := remote_head(self.git, url, ssh_command):
            self.point_head(head)

    def _head(self) -> str:
        """The branch (full name) that HEAD names."""
        text = (self.git_dir / "HEAD").read_text(encoding="utf-8", errors="surrogateescape")
        return text.removesuffix("\n").removeprefix("ref: ")

    def _fetched(self) -> dict[str, str]:
        file = self.git_dir / SIDE / "FETCH_HEAD"
        return read_fetch_head(file.read_bytes()) if file.exists() else {}  # of an empty repository git says nothing


def read_fetch_head(content: bytes) -> dict[str, str]:
    """What git noted in FETCH_HEAD: the objects by full name, that of the server's HEAD as "HEAD".

    A name may hold what Unicode takes for the end of a line.
    """
    found = map(_FETCHED.match, content.decode("utf-8", "surrogateescape").split("\n"))
    return {_FOLDERS[line[2] or ""] + (line[3] or "HEAD"): line[1] for line in found if line}


def remote_head(git: Git, url: str, ssh_command: str) -> str | None:
    """The branch (full name) that the server's HEAD names, if it tells. Errors as `Repository.fetch`."""
    answer = _ask(git, url, ssh_command, "ls-remote", "--symref", "--end-of-options", url, "HEAD")
    names = [line.partition("\t")[0] for line in answer.lines() if line.startswith("ref: refs/heads/")]
    return check_ref(names[0].removeprefix("ref: ")) if names else None


def remote_error(stderr: str, url: str) -> RemoteError:
    """What it means that git could not fetch.

    What the server said no to is refused for good; all else (network, keys, disk) may be better later or elsewhere.
    """
    if not_kept := _NOT_KEPT.search(stderr):
        return _NotAllKept(f"fetching from {url} failed: {one_line(not_kept[0])}")
    missing = _MISSING_REF.search(stderr)
    if missing:
        return RemoteRefused(f"{missing[1].removeprefix('refs/heads/')} does not exist at {url}")
    if _REFUSED.search(stderr):
        return RemoteRefused(f"fetching from {url} was refused: {one_line(stderr)}")
    text = f"fetching from {url} failed: {one_line(stderr)}"
    if "Host key verification failed" in stderr:
        if told := _LINE_FOR_KNOWN_HOSTS.search(stderr):
            return RemoteUnavailable(f"{text} ({told[0]})")
        host, _, port = (urlsplit(url).netloc.rpartition("@")[2]).partition(":")
        text += f" (if the server is right: ssh-keyscan -p {port or 22} {host} prints the line for known_hosts)"
    return RemoteUnavailable(text)


def _ask(git: Git, url: str, ssh_command: str, *arguments: str, stdin: bytes = b"") -> Answer:
    answer = git.with_environment(GIT_SSH_COMMAND=ssh_command).run(*arguments, stdin=stdin, accept=range(256))
    if answer.status != 0:
        raise remote_error(answer.stderr, url)
    return answer


def _branches_and_tags(git: Git) -> dict[str, str]:
    lines = git.run("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags").lines()
    return {name: commit for commit, _, name in (line.partition(" ") for line in lines)}


def _write_refs(git: Git, new: Mapping[str, str], gone: Mapping[str, str]) -> None:
    assert all(is_object_id(commit) for commit in (*new.values(), *gone.values()))
    orders = [f"update {name}\0{commit}\0\0" for name, commit in new.items()]
    orders += [f"delete {name}\0{commit}\0" for name, commit in gone.items()]
    if orders:
        git.run("update-ref", "--stdin", "-z", stdin="".join(orders).encode("utf-8", "surrogateescape"))
