"""Nodes for tests of remoting: an sshd of our own, interpreters of this machine, another user."""

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.services import program
from support.waiting import free_port, wait_until

from zuul_launcher.remoting import SshNode

SECONDS = 60
OLDEST, NEWEST = 8, 15


@dataclass(frozen=True)
class Sshd:
    """Answers on loopback, for the user who runs the tests."""

    port: int
    host_key: str
    key: Path

    def node(self, python: tuple[str, ...], **others: object) -> SshNode:
        given = {"host_key": self.host_key, **others}
        return SshNode("127.0.0.1", getpass.getuser(), self.port, self.key, python=python, **given)  # type: ignore[arg-type]


@contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """Runs as long as the block."""
    server = program("sshd")
    assert server is not None, "the tests that need it are marked"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, timeout=SECONDS)
    port = free_port()
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    command = [server, "-D", "-e", "-f", str(folder / "config")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _answers(port), what="sshd")
            yield Sshd(port, (folder / "host.pub").read_text().strip(), folder / "user")
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


@cache
def other_user() -> tuple[str, ...]:
    """A command that runs a Python of this minor version as a user who can write nowhere; empty: there is none."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        return ()
    import sys

    for folder in [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]:
        python = f"{folder}/python3.{sys.version_info.minor}"
        command = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python)
        if Path(python).exists() and _minor(command) == sys.version_info.minor:
            return command
    return ()


@cache
def interpreters() -> dict[int, str]:
    """Minor version of Python 3 → program, as many as there are on PATH or in pyenv."""
    found: dict[int, str] = {}
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for minor in range(OLDEST, NEWEST + 1):
        candidates = [shutil.which(f"python3.{minor}") or "", *map(str, root.glob(f"versions/3.{minor}.*/bin/python"))]
        for python in candidates:
            if python and _minor((python,)) == minor:
                found[minor] = python
                break
    return found


def _minor(command: tuple[str, ...]) -> int | None:
    words = [*command, "-I", "-S", "-c", "import sys; print(sys.version_info[1])"]
    try:
        done = subprocess.run(words, capture_output=True, timeout=SECONDS)
    except OSError:
        return None
    return int(done.stdout) if done.returncode == 0 else None


def processes_of(word: str) -> list[int]:
    """Processes whose command line holds this word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False
