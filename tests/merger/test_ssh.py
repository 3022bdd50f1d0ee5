"""Fetching over SSH from a real sshd: the connection's key is used, and only the pinned host key is trusted."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.git_world import Upstream, wait_until

from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.merger.environment import ssh_command
from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.request import MergeRequest, decode_merge
from zuul_launcher.merger.settings import GitAccess, MergerSettings

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@dataclass(frozen=True)
class Server:
    port: int
    host_key: str
    user_key: Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if SSHD is None:
        pytest.skip("needs sshd (make services)")
    folder = tmp_path / "ssh % d"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, timeout=60)
    plain = tmp_path / "sshd"
    plain.mkdir(mode=0o700)
    for name in ("host", "host.pub", "user.pub"):
        shutil.copy(folder / name, plain / name)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (plain / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {plain}/host\nAuthorizedKeysFile {plain}/user.pub\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen([SSHD, "-D", "-e", "-f", str(plain / "config")], stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: _answers(port))
        yield Server(port, (plain / "host.pub").read_text().strip(), folder / "user")
        process.terminate()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def over_ssh(server: Server, project: Upstream) -> MergeRequest:
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{project.path}"
    item: dict[str, Any] = {**project.change("master", {"A": "A"}), "url": url}
    return decode_merge(msgspec.json.encode({"items": [item]}))


def test_the_key_of_the_connection_and_the_pinned_host_key_are_used(
    settings: MergerSettings, server: Server, upstream: Callable[..., Upstream]
) -> None:
    access = GitAccess(sshkey=server.user_key, host_key=server.host_key)
    merger = Merger(replace(settings, connections={"gerrit": access}))
    assert merger.merge(over_ssh(server, upstream())).merged
    merger.close()


def test_a_known_hosts_file_is_used(
    settings: MergerSettings, server: Server, upstream: Callable[..., Upstream], tmp_path: Path
) -> None:
    known = tmp_path / "known hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    access = GitAccess(sshkey=server.user_key, known_hosts=known)
    merger = Merger(replace(settings, connections={"gerrit": access}))
    assert merger.merge(over_ssh(server, upstream())).merged
    merger.close()


@pytest.mark.parametrize("pinned", ["unknown", "other"])
def test_an_unknown_or_other_host_key_is_refused_with_what_to_do(
    settings: MergerSettings, server: Server, upstream: Callable[..., Upstream], pinned: str, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    other = server.user_key.with_suffix(".pub").read_text()
    access = GitAccess(sshkey=server.user_key, known_hosts=empty, host_key=other if pinned == "other" else "")
    merger = Merger(replace(settings, connections={"gerrit": access}))
    with pytest.raises(RemoteUnavailable, match=rf"Host key verification failed.*ssh-keyscan -p {server.port} 127"):
        merger.merge(over_ssh(server, upstream()))
    merger.close()


def test_paths_in_the_ssh_command_are_quoted_for_the_shell_and_for_ssh() -> None:
    command = ssh_command(GitAccess(sshkey=Path("/a b/$(id) %h;'k"), known_hosts=Path("/known hosts")), None)
    printed = subprocess.run(["sh", "-c", f"set -- {command}; printf '%s\\n' \"$@\""], capture_output=True, timeout=60)
    words = printed.stdout.decode().splitlines()
    assert words[0] == "ssh"
    assert 'IdentityFile="/a b/$(id) %%h;\'k"' in words
    assert 'UserKnownHostsFile="/known hosts"' in words
    assert "StrictHostKeyChecking=yes" in words
