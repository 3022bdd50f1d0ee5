"""One clone with its work tree. Refs go by full names: no branch is ever taken for an option or for something else."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from zuul_launcher.errors import RemoteError, RemoteUnavailable, RequestError
from zuul_launcher.git import Answer, Git, one_line

log = logging.getLogger(__name__)

ORIGIN = "refs/remotes/origin/"
LOCAL = "refs/heads/"
_ANY = range(256)
_SERVE = "git -c safe.directory='*' upload-pack"  # git gives it to a shell
_NOT_THERE = re.compile(
    r"couldn't find remote ref|(repository|project)\b.* not found|remote error: .*not found|: not found$"
    r"|does not appear to be a git repository|not exported|does not exist",
    re.IGNORECASE | re.MULTILINE,
)
_PASSWORD = re.compile(r"(//[^/@:\s]*):[^/@\s]*@")


class Clone:
    """The repository at ``path`` (absolute), made already or not yet."""

    def __init__(self, path: Path, git: Git) -> None:
        self.path = path
        self._anywhere = git
        self._git = git.at(path / ".git", GIT_WORK_TREE=str(path))

    @property
    def exists(self) -> bool:
        """Whether there is a repository to be brought up to date."""
        return (self.path / ".git").exists()

    def make(self, url: str) -> None:
        """Clone from a git server; RemoteError when that does not work."""
        self._clone(url)

    def make_from_cache(self, cache: Path) -> None:
        """Clone from a repository of this machine, which is not needed later; RemoteError when that does not work.

        Files are hard links where the file system allows; what that repository borrows from others is copied.
        """
        self._clone(str(cache), "--local", "--dissociate", "--reject-shallow", f"--upload-pack={_SERVE}")

    def point_origin(self, url: str) -> None:
        """Have this URL as origin."""
        self._run("config", "--replace-all", "remote.origin.url", url)

    def remove_locks(self) -> None:
        """Remove what a killed git left: nobody else works here."""
        git_dir = self.path / ".git"
        for lock in [*git_dir.glob("*.lock"), *git_dir.glob("refs/**/*.lock")]:
            log.warning("Removed %s, which a killed git left", lock)
            lock.unlink(missing_ok=True)

    def fetch_origin(self, url: str) -> dict[str, str]:
        """Fetch branches and tags and forget the branches that are gone; RemoteError when that does not work.

        :returns: the commit of each branch of origin, by its short name.
        """
        answer = self._fetch("--prune", "--tags", "--force", "--end-of-options", url, f"+{LOCAL}*:{ORIGIN}*")
        if answer.status:
            raise _failure(f"cannot fetch from {url}", answer.stderr)
        branches = self._refs(ORIGIN)
        branches.pop("HEAD", None)  # names the branch that is HEAD there
        return branches

    def fetch(self, url: str, ref: str) -> str | None:
        """Fetch one ref (full name) and give its commit, or None if it does not exist there.

        :raises RemoteError: nobody knows, since the server could not be asked.
        """
        answer = self._fetch("--no-tags", "--end-of-options", url, ref)
        if answer.status == 0:
            return self.commit("FETCH_HEAD")
        if _NOT_THERE.search(answer.stderr):
            log.info("There is no %s at %s", ref, hide_password(url))
            return None
        raise _failure(f"cannot fetch {ref} from {url}", answer.stderr)

    def commit(self, name: str) -> str | None:
        """The commit that a full name, or a commit's own id, stands for, or None."""
        answer = self._run("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}", accept=_ANY)
        return answer.stdout.decode("ascii").strip() if answer.status == 0 else None

    def reset_branches(self, wanted: Mapping[str, str]) -> None:
        """Have local branches (short names) at these commits. Others stay unless they are in the way."""
        local = self._refs(LOCAL)
        self._write([f"delete {LOCAL}{name}\0\0" for name in sorted(local) if _in_the_way(name, wanted)])
        new = {name: commit for name, commit in wanted.items() if local.get(name) != commit}
        self._write([f"update {LOCAL}{name}\0{commit}\0\0" for name, commit in sorted(new.items())])

    def check_out(self, commit: str) -> None:
        """Have the files of a commit and no others, on no branch. Repositories inside stay."""
        self._run("checkout", "--quiet", "--force", "--detach", commit)
        self._run("clean", "--quiet", "-x", "-d", "--force")

    def _clone(self, source: str, *options: str) -> None:
        arguments = ["--quiet", "--no-checkout", "--template=", "--origin=origin", *options]
        answer = self._anywhere.run("clone", *arguments, "--end-of-options", source, str(self.path), accept=_ANY)
        if answer.status:
            raise _failure(f"cannot clone {source} to {self.path}", answer.stderr)

    def _fetch(self, *arguments: str) -> Answer:
        return self._run("fetch", "--quiet", "--no-recurse-submodules", *arguments, accept=_ANY)

    def _refs(self, prefix: str) -> dict[str, str]:
        lines = self._run("for-each-ref", "--format=%(objectname) %(refname)", prefix).lines()
        return {name.removeprefix(prefix): commit for commit, _, name in (line.partition(" ") for line in lines)}

    def _write(self, orders: list[str]) -> None:
        if orders:
            self._run("update-ref", "--stdin", "-z", stdin="".join(orders).encode("utf-8", "surrogateescape"))

    def _run(self, *arguments: str, stdin: bytes = b"", accept: Sequence[int] = (0,)) -> Answer:
        return self._git.run(*arguments, stdin=stdin, accept=accept, cwd=self.path)


def cached_repository(cache: Path, project: str) -> Path | None:
    """The git directory of a project in the cache: CACHE/PROJECT, bare or not, or CACHE/PROJECT.git."""
    for path in (cache / project / ".git", cache / project, cache / f"{project}.git"):
        if (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir():
            return path.absolute()
    return None


def check_ref(git: Git, name: str) -> str:
    """The full name of a ref, if git allows it; RequestError otherwise."""
    if not name.startswith("refs/") or git.run("check-ref-format", name, accept=(0, 1)).status:
        shown = ascii(name) if len(name) <= 80 else f"{name[:80]!a}…"
        raise RequestError(f"{shown} is not a name that git allows for a ref")
    return name


def hide_password(text: str) -> str:
    """The text, with asterisks for passwords in its URLs."""
    return _PASSWORD.sub(r"\1:***@", text)


def _in_the_way(name: str, wanted: Mapping[str, str]) -> bool:
    """Whether there cannot be such a branch beside those."""
    return any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in wanted)


def _failure(what: str, stderr: str) -> RemoteError:
    return RemoteUnavailable(hide_password(f"{what}: {one_line(stderr)}"))
