"""A real sshd of a test's own, and a PATH on which no `ssh` is."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.services import program
from support.waiting import free_port, wait_until


@dataclass(frozen=True)
class Server:
    """Lets the user of the test in, with `user_key`."""

    port: int
    host_key: str
    user_key: Path


@contextmanager
def ssh_server(folder: Path) -> Iterator[Server]:
    """Its keys are in a place with blanks and `%`. For tests that are marked `sshd`."""
    sshd = program("sshd")
    assert sshd
    keys = folder / "ssh % d"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(keys / name)]
        subprocess.run(command, check=True, timeout=60)
    plain = folder / "sshd"
    plain.mkdir(mode=0o700)
    for name in ("host", "host.pub", "user.pub"):
        shutil.copy(keys / name, plain / name)
    port = free_port()
    (plain / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {plain}/host\nAuthorizedKeysFile {plain}/user.pub\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen([sshd, "-D", "-e", "-f", str(plain / "config")], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _answers(port), what="sshd")
            yield Server(port, (plain / "host.pub").read_text().strip(), keys / "user")
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def path_of(folder: Path, *names: str) -> str:
    """A PATH for these programs alone."""
    folder.mkdir()
    for name in names:
        found = program(name)
        assert found, name
        (folder / name).symlink_to(found)
    return str(folder)
