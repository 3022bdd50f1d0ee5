"""Git servers as folders: projects with branches and changes, made by real git commands, fetched by file:// URLs."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada Author",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada Author",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "2024-02-03T04:05:06+0700",
    "GIT_COMMITTER_DATE": "2024-02-03T04:05:06+0700",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "init.defaultBranch",
    "GIT_CONFIG_VALUE_0": "master",
    "GIT_CONFIG_KEY_1": "protocol.file.allow",
    "GIT_CONFIG_VALUE_1": "always",
}

Files = Mapping[str, str | bytes | None]


def git(folder: Path, *arguments: str, accept: tuple[int, ...] = (0,), stdin: bytes = b"") -> str:
    """Run git in a folder and give its stripped output."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=ENVIRONMENT, input=stdin, capture_output=True, timeout=60
    )
    assert done.returncode in accept, (arguments, done.stdout, done.stderr)
    return done.stdout.decode("utf-8", "surrogateescape").strip()


class Upstream:
    """One project at the git server."""

    def __init__(self, root: Path, name: str, files: Files | None = None) -> None:
        self.name = name
        self.path = root / name
        self.path.mkdir(parents=True)
        git(self.path, "init", "--quiet", "--initial-branch=master")
        self._changes = 0
        self.commit("master", {"README": "first\n"} if files is None else files, "initial commit")

    @property
    def url(self) -> str:
        return self.path.as_uri()

    def branch(self, name: str, start: str = "master") -> None:
        git(self.path, "branch", name, start)

    def commit(self, branch: str, files: Files, message: str = "commit") -> str:
        """Put a commit on a branch; a file of None is deleted."""
        if git(self.path, "for-each-ref", "refs/heads"):
            git(self.path, "checkout", "--quiet", "--force", branch)
        return self._write(files, message)

    def change(self, branch: str, files: Files, message: str = "", parent: str | None = None) -> dict[str, Any]:
        """Upload a change for a branch and give its merge item (merge mode 2, a fresh Z name)."""
        self._changes += 1
        refspec = f"refs/changes/{self._changes:02d}/{self._changes}/1"
        git(self.path, "checkout", "--quiet", "--force", "--detach", parent or branch)
        commit = self._write(files, message or f"change {self._changes}")
        git(self.path, "update-ref", refspec, commit)
        git(self.path, "checkout", "--quiet", "--force", "master")
        return self.item(branch, refspec, self._changes)

    def item(self, branch: str, refspec: str, number: int) -> dict[str, Any]:
        return {
            "project": self.name,
            "url": self.url,
            "connection_name": "gerrit",
            "merge_mode": 2,
            "refspec": refspec,
            "branch": branch,
            "ref": f"Z{uuid4().hex}",
            "number": str(number),
            "patchset": "1",
            "oldrev": None,
            "newrev": None,
        }

    def _write(self, files: Files, message: str) -> str:
        for name, content in files.items():
            path = self.path / name
            if content is None:
                git(self.path, "rm", "--quiet", "--force", "--", name)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        git(self.path, "add", "--all", "--force")
        git(self.path, "commit", "--quiet", "--allow-empty", "-m", message)
        return git(self.path, "rev-parse", "HEAD")


def is_running(pid: int) -> bool:
    """Whether a process is there and not only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def subjects(repository: Path, commit: str) -> list[str]:
    """The subjects of the commits behind a commit, oldest first, without those of merges."""
    return git(repository, "log", "--no-merges", "--topo-order", "--reverse", "--format=%s", commit).splitlines()
