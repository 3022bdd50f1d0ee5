"""GIT_DIR: where each project's repository is, who may use it, and how a repository comes into being.

A project's repository is bare and at GIT_DIR/PROJECT. Where Zuul v2 left its clone, GIT_DIR/PROJECT/.git is used as
it is; its work tree is never touched, so that a site can go back. Projects may lie below each other ("a" and "a/b"),
except where a name would meet git's own files in the outer repository ("a" and "a/refs").

One process at a time holds GIT_DIR. A repository counts from the moment its HEAD file is there, which is made last:
what a killed run left half made is completed by the next.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from git.cmd import Git as GitCommand
from git.exc import GitError

from zuul_launcher.errors import ConfigurationError, RequestError
from zuul_launcher.git import Git, GitFailed, one_line
from zuul_launcher.merger.names import PRIVATE_FOLDER, check_project

SIDE = "zuul-fetch"
"""A small git directory in each repository that shares its objects but none of its merged states: fetches run there."""

_GITS_OWN = {
    *("HEAD", "branches", "config", "config.worktree", "description", "hooks", "index", "info", "lfs", "logs"),
    *("modules", "objects", "packed-refs", "refs", "rr-cache", "shallow", "worktrees", "gc.pid", "gc.log", SIDE),
}
_LOCK_WAIT = 10.0  # seconds; as long as v2 waits for its pid file


class Place:
    """GIT_DIR, held by this process until `close`.

    :raises ConfigurationError: it cannot be written, or another merger (or a git that one left behind) is using it.
    """

    def __init__(self, root: Path, lock_wait: float = _LOCK_WAIT) -> None:
        self.root = root
        self.scratch = root / PRIVATE_FOLDER / "scratch"
        try:
            self.scratch.parent.mkdir(parents=True, exist_ok=True)
            self.lock = os.open(self.scratch.parent / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take_lock(lock_wait)
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir()
        except OSError as error:
            raise ConfigurationError(f"git_dir {root} cannot be used: {error}") from error

    def _take_lock(self, lock_wait: float) -> None:
        give_up = time.monotonic() + lock_wait
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    os.close(self.lock)
                    raise ConfigurationError(
                        f"git_dir {self.root} is in use by another merger; each merger needs a git_dir of its own"
                    ) from None
                time.sleep(0.05)

    def close(self) -> None:
        """Let another process have GIT_DIR."""
        os.close(self.lock)

    def find(self, project: str) -> Path | None:
        """The git directory of the project, or None if there is none yet; RequestError for a name that is refused."""
        return git_dir_of(self._path(project))

    def create(self, project: str, git: Git) -> Path:
        """Make the project's empty repository and give its git directory.

        :raises RequestError: it would meet files of another repository.
        """
        path = self._path(project)
        fresh = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            # GitPython merges these into the process's own environment, hence the explicit directory.
            environment = dict(git.at(fresh).full_environment())
            GitCommand(fresh).execute(
                ["git", "init", "--bare", "--quiet", "--template=", "--initial-branch=master"],
                env=environment,
                kill_after_timeout=git.timeout,
            )
            make_side(fresh)
            self._refuse_if_occupied(project, path, [entry.name for entry in fresh.iterdir()])
            path.mkdir(parents=True, exist_ok=True)
            for entry in sorted(fresh.iterdir(), key=lambda entry: entry.name == "HEAD"):
                if entry.is_file() or not (path / entry.name).exists():
                    entry.rename(path / entry.name)
        except GitError as error:
            raise GitFailed(f"git init failed: {one_line(str(error))}") from error
        except (NotADirectoryError, FileExistsError):
            raise RequestError(f"project {project} cannot be kept in {self.root}: a file is in its way") from None
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return path

    def repositories(self) -> Iterator[tuple[str, Path]]:
        """Every project that has a repository here, with its git directory."""
        for path in _below(self.root):
            git_dir = git_dir_of(path)
            if git_dir is not None:
                yield str(path.relative_to(self.root)), git_dir

    def _path(self, project: str) -> Path:
        path = self.root / check_project(project)
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise RequestError(f"project name {project} is refused: it leads out of {self.root}")
        outer = self.root
        for part in Path(project).parts:
            if _is_git_dir(outer) and is_gits_own(part):
                raise RequestError(
                    f"project {project} cannot be kept in {self.root}: "
                    f"{part} is a file of git's own in the repository of {outer.relative_to(self.root)}"
                )
            outer /= part
        return path

    def _refuse_if_occupied(self, project: str, path: Path, entries: list[str]) -> None:
        for entry in entries:
            for inner in _below(path / entry) if (path / entry).is_dir() else ():
                if git_dir_of(inner) is not None:
                    raise RequestError(
                        f"project {project} cannot be kept in {self.root}: "
                        f"project {inner.relative_to(self.root)} lies where git's own files belong"
                    )


def is_gits_own(part: str) -> bool:
    """Whether git keeps something of that name in a git directory."""
    return part in _GITS_OWN or part.endswith((".lock", "_HEAD"))


def git_dir_of(path: Path) -> Path | None:
    """The git directory of the repository at a path: the path itself, or .git in it, or None."""
    for candidate in (path, path / ".git"):
        if _is_git_dir(candidate):
            return candidate
    return None


def make_side(git_dir: Path) -> Path:
    """Make the side directory for fetches, unless it is there."""
    side = git_dir / SIDE
    (side / "refs").mkdir(parents=True, exist_ok=True)
    (side / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n", encoding="ascii")
    (side / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
    return side


def side_of(git_dir: Path, git: Git) -> Git:
    """git for the side directory of a repository."""
    return git.at(git_dir / SIDE, GIT_OBJECT_DIRECTORY=str(git_dir / "objects"))


def remove_stale_files(git_dir: Path) -> list[Path]:
    """Remove the lock files and half-written packs that a killed git left; only for who holds GIT_DIR."""
    stale = [path for folder in (git_dir, git_dir / SIDE) for path in folder.glob("*.lock")]
    for folder in (git_dir / "refs", git_dir / SIDE / "refs"):
        stale += [Path(found) / name for found, _, names in os.walk(folder) for name in names if name.endswith(".lock")]
    packs = git_dir / "objects" / "pack"
    stale += [*packs.glob("tmp_*"), *packs.glob("*.keep"), *(git_dir / "objects").glob("tmp_*")]
    for path in (*stale, git_dir / "gc.pid"):
        path.unlink(missing_ok=True)
    return stale


def _is_git_dir(path: Path) -> bool:
    return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()


def _below(root: Path) -> Iterator[Path]:
    """The folder and all folders below it in which a project may lie; not git's own, nor v2's work trees."""
    pending = [root]
    while pending:
        path = pending.pop()
        yield path
        if _is_git_dir(path / ".git"):
            continue
        in_repository = _is_git_dir(path)
        with os.scandir(path) as entries:
            for entry in entries:
                own = entry.name in (PRIVATE_FOLDER, ".git") or (in_repository and is_gits_own(entry.name))
                if not own and entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
