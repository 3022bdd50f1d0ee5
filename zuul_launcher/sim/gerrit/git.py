"""Runs git on bare repositories: builds commits, merges, reads. Every call has a deadline and argument lists only."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zuul_launcher.errors import RemoteError

DEADLINE = 60.0  # seconds; far above what any of these takes
ZEROS = "0" * 40


class GitFailed(RemoteError):
    """git ended with an error; the text is git's."""


@dataclass(frozen=True)
class Author:
    """Who commits, and when (seconds since 1970, UTC)."""

    name: str
    email: str
    at: int

    def __str__(self) -> str:
        return f"{self.name} <{self.email}> {self.at} +0000"


def clean_environment(**more: str) -> dict[str, str]:
    """An environment in which neither this user's nor this machine's git settings count."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", **more}


def git(repository: Path, *arguments: str, given: str = "", **environment: str) -> str:
    """Runs `git ARGUMENTS` in a repository and returns what it prints, without the last line end.

    Raises GitFailed.
    """
    finished = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        input=given.encode(),
        capture_output=True,
        timeout=DEADLINE,
        env=clean_environment(**environment),
        check=False,
    )
    if finished.returncode != 0:
        raise GitFailed(f"git {arguments[0]}: {finished.stderr.decode(errors='replace').strip()}")
    return finished.stdout.decode(errors="surrogateescape").removesuffix("\n")


def create_repository(path: Path) -> None:
    """Creates an empty bare repository whose HEAD names `master`."""
    path.mkdir(parents=True)
    git(path, "init", "--bare", "--quiet", "--initial-branch=master")
    git(path, "config", "uploadpack.allowAnySHA1InWant", "true")


def build_commit(
    repository: Path, parents: list[str], files: Mapping[str, str | None], message: str, author: Author
) -> str:
    """Stores a commit that changes the given files of its first parent (None deletes), and returns its hash.

    No ref keeps it: the caller sets one.
    """
    text = message.encode()
    lines = [b"reset refs/stand-in/new\n"]  # else an older commit of this ref would become the parent
    lines.append(b"commit refs/stand-in/new\nmark :1\n")
    lines.append(f"author {author}\ncommitter {author}\ndata {len(text)}\n".encode() + text + b"\n")
    lines += [f"{'merge' if at else 'from'} {parent}\n".encode() for at, parent in enumerate(parents)]
    for path, content in files.items():
        quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        if content is None:
            lines.append(f"D {quoted}\n".encode())
        else:
            data = content.encode()
            lines.append(f"M 100644 inline {quoted}\ndata {len(data)}\n".encode() + data + b"\n")
    lines.append(b"get-mark :1\nreset refs/stand-in/new\nfrom " + ZEROS.encode() + b"\n\ndone\n")
    finished = subprocess.run(
        ["git", "fast-import", "--quiet", "--done", "--force"],
        cwd=repository,
        input=b"".join(lines),
        capture_output=True,
        timeout=DEADLINE,
        env=clean_environment(),
        check=False,
    )
    if finished.returncode != 0:
        raise GitFailed(f"git fast-import: {finished.stderr.decode(errors='replace').strip()}")
    return finished.stdout.decode().strip()
