"""The machines that files and processes of a test are on: this process, and nodes behind each kind of channel.

All of them are this machine, so that a test sees from outside what happened. Their caches are of the test alone.
"""

import getpass
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.services import program
from support.waiting import free_port, wait_until

from zuul_launcher.remoting import Channel, LocalChannel, SshNode, connect_ssh, connect_subprocess

CHANNELS = ("local", "subprocess", pytest.param("ssh", marks=pytest.mark.sshd))
KINDS = ("here", *CHANNELS)  # `here`: no channel at all


@dataclass(frozen=True)
class Sshd:
    """A real OpenSSH server for the user who runs the tests."""

    port: int
    key: Path
    host_key: str
    known_hosts: Path
    user: str

    @property
    def node(self) -> SshNode:
        return SshNode("127.0.0.1", self.user, port=self.port, key=self.key, known_hosts=self.known_hosts)


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Channel | None]:
    """A channel of this kind; None is `here`."""
    if kind == "here":
        yield None
    elif kind == "local":
        with LocalChannel() as channel:
            yield channel
    elif kind == "subprocess":
        with connect_subprocess(environment={**os.environ, "XDG_CACHE_HOME": str(folder)}) as channel:
            yield channel
    else:
        with sshd(folder) as server, connect_ssh(server.node, name="node") as channel:
            yield channel


@contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """A server that knows one key, with all its files in the folder."""
    daemon = program("sshd")
    assert daemon is not None
    folder.chmod(0o700)
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, timeout=60)
    port, host_key = free_port(), (folder / "host.pub").read_text().strip()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv XDG_CACHE_HOME={folder}/cache\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([daemon, "-D", "-e", "-f", str(folder / "config")], stderr=log)
    try:
        wait_until(lambda: _answers(port), what="sshd")
        yield Sshd(port, folder / "user", host_key, folder / "known_hosts", getpass.getuser())
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
