"""The one way this package runs git: no configuration but ours, no hooks, filters or prompts, and always a deadline.

Each command is a process group of its own, killed as a whole when its time is over, so that an ssh that hangs goes too.
"""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zuul_launcher.errors import RemoteUnavailable, ZuulLauncherError
from zuul_launcher.merger.settings import GitAccess

_FROM_PROCESS = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)

_CONFIGURATION = {
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "gc.autoDetach": "false",
    "maintenance.auto": "false",
    # A server that stops talking is given up long before the deadline.
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
}


class GitFailed(ZuulLauncherError):
    """A git command of ours failed; the text is what git said, in one line."""


@dataclass(frozen=True)
class Answer:
    """What a git command left behind."""

    status: int
    stdout: bytes
    stderr: str

    def lines(self) -> list[str]:
        return self.stdout.decode("utf-8", "surrogateescape").splitlines()


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


def base_environment(
    process_environment: Mapping[str, str], user_name: str, user_email: str, allow_file: bool
) -> dict[str, str]:
    """The hardened environment of every git command, and who it commits as."""
    environment = {name: process_environment[name] for name in _FROM_PROCESS if name in process_environment}
    environment.setdefault("PATH", os.defpath)
    environment |= {
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_ALLOW_PROTOCOL": "ssh:https:http" + (":file" if allow_file else ""),
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ADVICE": "0",
        "GIT_SSH_VARIANT": "ssh",
        "GIT_AUTHOR_NAME": user_name,
        "GIT_AUTHOR_EMAIL": user_email,
        "GIT_COMMITTER_NAME": user_name,
        "GIT_COMMITTER_EMAIL": user_email,
        "GIT_CONFIG_COUNT": str(len(_CONFIGURATION)),
    }
    for number, (key, value) in enumerate(_CONFIGURATION.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def ssh_command(access: GitAccess, pinned: Path | None) -> str:
    """The text for GIT_SSH_COMMAND, which git gives to a shell. ``pinned`` is a known_hosts file with the host key."""
    options = [
        *("BatchMode=yes", "StrictHostKeyChecking=yes", "ControlMaster=no", "ControlPath=none"),
        *("ConnectTimeout=30", "ServerAliveInterval=15", "ServerAliveCountMax=4"),
    ]
    if access.sshkey:
        options += [f"IdentityFile={_ssh_path(access.sshkey)}", "IdentitiesOnly=yes"]
    known_hosts = pinned or access.known_hosts
    if known_hosts:
        options += [f"UserKnownHostsFile={_ssh_path(known_hosts)}", "GlobalKnownHostsFile=/dev/null"]
    return shlex.join(["ssh", *(word for option in options for word in ("-o", option))])


def _ssh_path(path: Path) -> str:
    # ssh splits at blanks and expands % in file names itself.
    return '"' + str(path).replace("%", "%%") + '"'


def one_line(text: str) -> str:
    """What git has to say, for a log or a reply: its first complaint, and what stood before it (ssh's own words)."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if line.startswith("fatal:")), len(lines) - 1)
    shown = "; ".join(lines[max(0, first - 2) : first + 1])
    return "".join(character if character.isprintable() else "?" for character in shown)[:400]
