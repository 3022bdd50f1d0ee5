"""The machines that files and processes of a test are on: this process, and nodes behind each kind of channel.

All of them are this machine, so that a test sees from outside what happened. Their caches are of the test alone.
"""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import remoting_nodes

from zuul_launcher.remoting import Channel, LocalChannel, SshNode, connect_ssh, connect_subprocess

CHANNELS = ("local", "subprocess", pytest.param("ssh", marks=pytest.mark.sshd))
KINDS = ("here", *CHANNELS)  # `here`: no channel at all


@dataclass(frozen=True)
class Sshd:
    """A real OpenSSH server for the user who runs the tests, and all that is needed to log in."""

    port: int
    key: Path
    host_key: str
    known_hosts: Path
    cache: Path
    user: str

    @property
    def node(self) -> SshNode:
        python = ("env", f"XDG_CACHE_HOME={self.cache}", "python3")
        return SshNode(
            "127.0.0.1", self.user, port=self.port, key=self.key, known_hosts=self.known_hosts, python=python
        )


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
    """Runs as long as the block, with all its files in the folder."""
    with remoting_nodes.sshd(folder / "ssh") as server:
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
        yield Sshd(server.port, server.key, server.host_key, known_hosts, folder / "cache", getpass.getuser())
