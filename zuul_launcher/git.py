"""How git is run: arguments as lists, in an environment that the caller composes, and always with a deadline.

Each command is a process group of its own, killed as a whole when its time is over, so that an ssh that hangs goes too.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zuul_launcher.errors import RemoteUnavailable, ZuulLauncherError


class GitFailed(ZuulLauncherError):
    """A git command of ours failed; the text is what git said, in one line."""


@dataclass(frozen=True)
class Answer:
    """What a git command left behind."""

    status: int
    stdout: bytes
    stderr: str

    def lines(self) -> list[str]:
        """The output by lines as git means them: names may hold what Unicode takes for the end of a line."""
        text = self.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")
        return text.split("\n") if text else []


@dataclass(frozen=True)
class Git:
    """git for one git directory. ``inherited`` are open files that children keep, such as the lock of GIT_DIR."""

    environment: Mapping[str, str]
    timeout: float
    inherited: tuple[int, ...] = ()
    git_dir: Path | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def at(self, git_dir: Path, **extra: str) -> "Git":
        """The same git for another git directory, with further environment variables."""
        return Git(self.environment, self.timeout, self.inherited, git_dir, extra)

    def with_environment(self, **extra: str) -> "Git":
        """The same git with further environment variables."""
        return Git(self.environment, self.timeout, self.inherited, self.git_dir, {**self.extra, **extra})

    def full_environment(self) -> dict[str, str]:
        """All variables a child sees."""
        own = {"GIT_DIR": str(self.git_dir)} if self.git_dir else {}
        return {**self.environment, **own, **self.extra}

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        accept: Sequence[int] = (0,),
        timeout: float | None = None,
        cwd: Path | None = None,
    ) -> Answer:
        """Run ``git ARGUMENTS``; GitFailed for a status that is not accepted, RemoteUnavailable over the deadline."""
        deadline = timeout or self.timeout
        process = subprocess.Popen(
            ["git", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.full_environment(),
            cwd=cwd or self.git_dir,
            start_new_session=True,
            pass_fds=self.inherited,
        )
        try:
            stdout, stderr = process.communicate(stdin, timeout=deadline)
        except subprocess.TimeoutExpired:
            raise RemoteUnavailable(f"git {arguments[0]} did not end within {deadline:g} seconds") from None
        finally:
            if process.returncode is None:
                _kill_group(process)
        answer = Answer(process.returncode, stdout, stderr.decode("utf-8", "replace"))
        if answer.status not in accept:
            raise GitFailed(f"git {arguments[0]} failed: {one_line(answer.stderr) or f'status {answer.status}'}")
        return answer

    def word(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git and give its output as one stripped text."""
        return self.run(*arguments, stdin=stdin).stdout.decode("utf-8", "surrogateescape").strip()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:
                pass


def configuration(settings: Mapping[str, str], first: int = 0) -> dict[str, str]:
    """Environment variables that give git this configuration, after ``first`` entries that are there already."""
    variables = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (key, value) in enumerate(settings.items(), first):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def one_line(text: str) -> str:
    """What git has to say, for a log or a reply: its first complaint, and what stood before it (ssh's own words)."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if line.startswith("fatal:")), len(lines) - 1)
    shown = "; ".join(lines[max(0, first - 2) : first + 1])
    return "".join(character if character.isprintable() else "?" for character in shown)[:400]
