"""Git work on one bare repository: fetch what a request needs, look refs up by exact names, publish merged states.

No command here lists the merged states (refs/zuul/…), of which there may be a hundred thousand. Fetches run in the side
directory, which has branches and tags alone: git goes over all refs of the directory in which it fetches.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from zuul_launcher.errors import RemoteError, RemoteRefused, RemoteUnavailable
from zuul_launcher.git import Answer, Git, GitFailed, one_line
from zuul_launcher.merger.names import check_ref, is_object_id
from zuul_launcher.merger.place import SIDE, make_side

_MIRROR = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "^refs/heads/refs/*", "^refs/tags/refs/*")
_MISSING_REF = re.compile(r"couldn't find remote ref (\S+)")
_REFUSED = re.compile(
    r"project .*not found|repository .*not found|not a git (archive|repository)|does not appear to be a git repository"
    r"|transport '.*' not allowed|is not permitted|not our ref",
    re.IGNORECASE,
)
# What our own ssh says about a host key; it may be longer than `one_line`.
_LINE_FOR_KNOWN_HOSTS = re.compile(r"(add this line to|replace the line of) [^\x00-\x1f\x7f-\x9f]+")


class _InTheWay(RemoteError):
    """A branch of ours that may be gone at the server stands in the way of one that is there."""


class Repository:
    """One project's repository. ``git`` carries the environment; access to the server comes with each fetch."""

    def __init__(self, git_dir: Path, git: Git) -> None:
        self.git_dir = git_dir
        self.git = git.at(git_dir)
        self._side = git.at(git_dir / SIDE, GIT_OBJECT_DIRECTORY=str(git_dir / "objects"))
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
        """Fetch branches (short names, kept) and other refs (full names, not kept), all at once.

        :returns: the commit of each, by full name.
        :raises RemoteRefused: one of them, or the project, does not exist there.
        :raises RemoteUnavailable: the server was not reached in time.
        """
        heads = [f"refs/heads/{branch}" for branch in dict.fromkeys(branches)]
        wanted = [*heads, *dict.fromkeys(refs)]
        refspecs = [*(f"+{head}:{head}" for head in heads), *wanted[len(heads) :]]
        try:
            self._fetch(url, ssh_command, refspecs)
        except _InTheWay:
            # A branch "a" that is gone at the server stands in the way of "a/b".
            self.mirror(url, ssh_command)
            self._fetch(url, ssh_command, refspecs)
        commits = (line.split("\t", 1)[0] for line in self._fetch_head().splitlines())
        fetched = dict(zip(wanted, commits, strict=True))
        try:
            self.publish({head: fetched[head] for head in heads})
        except GitFailed:
            self._copy_side()
        return fetched

    def mirror(self, url: str, ssh_command: str) -> None:
        """Fetch all branches and tags, and forget those that are gone there. Errors as `fetch`."""
        self._fetch(url, ssh_command, _MIRROR, "--prune")
        self._copy_side()

    def point_head(self, branch: str) -> None:
        """Let HEAD name a branch (full name), for those who clone from here."""
        self.git.run("symbolic-ref", "HEAD", branch)

    def publish(self, commits: Mapping[str, str]) -> None:
        """Set refs (full names) to commits, all or none."""
        _write_refs(self.git, commits, {})

    def parents_and_tree(self, commit: str) -> tuple[str, list[str]]:
        """Tree and parents of a commit."""
        header = self.read_commit(commit).partition(b"\n\n")[0].decode("utf-8", "replace").splitlines()
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

    def _fetch_head(self) -> str:
        return (self.git_dir / SIDE / "FETCH_HEAD").read_text(encoding="utf-8", errors="replace")

    def _copy_side(self) -> None:
        """Make branches and tags equal to those of the side directory."""
        wanted, present = _branches_and_tags(self._side), _branches_and_tags(self.git)
        gone = {name: commit for name, commit in present.items() if name not in wanted}
        # Two transactions: git does not take "a" away and make "a/b" in one.
        _write_refs(self.git, {}, gone)
        _write_refs(self.git, {name: new for name, new in wanted.items() if present.get(name) != new}, {})


def remote_head(git: Git, url: str, ssh_command: str) -> str | None:
    """The branch (full name) that the server's HEAD names, if it tells. Errors as `Repository.fetch`."""
    answer = _ask(git, url, ssh_command, "ls-remote", "--symref", "--end-of-options", url, "HEAD")
    names = [line.partition("\t")[0] for line in answer.lines() if line.startswith("ref: refs/heads/")]
    return check_ref(names[0].removeprefix("ref: ")) if names else None


def remote_error(stderr: str, url: str) -> RemoteError:
    """What it means that git could not fetch.

    What the server said no to is refused for good; all else (network, keys, disk) may be better later or elsewhere.
    """
    if "cannot lock ref" in stderr or "some local refs could not be updated" in stderr:
        return _InTheWay(f"fetching from {url} failed: {one_line(stderr)}")
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
