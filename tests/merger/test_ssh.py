"""Fetching over SSH from a real sshd: the connection's key is used, and only the pinned host key is trusted."""

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.git_world import Upstream, git
from support.ssh_server import Server, path_of, ssh_server

from zuul_launcher.cli.merger import OWN_SSH
from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.merger.environment import ssh_command
from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.request import MergeRequest, decode_merge, decode_update
from zuul_launcher.merger.settings import GitAccess, MergerSettings


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with ssh_server(tmp_path) as server:
        yield server


@pytest.fixture(params=["with ssh", "without ssh"])
def settings(request: pytest.FixtureRequest, settings: MergerSettings, tmp_path: Path) -> MergerSettings:
    """Of a merger that finds an `ssh`, and of one that does not."""
    path = os.environ["PATH"] if request.param == "with ssh" else path_of(tmp_path / "programs", "git")
    return replace(settings, environment={**os.environ, "PATH": path}, own_ssh=OWN_SSH)


def url_of(server: Server, project: Upstream) -> str:
    return f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{project.path}"


def over_ssh(server: Server, project: Upstream) -> MergeRequest:
    item: dict[str, Any] = {**project.change("master", {"A": "A"}), "url": url_of(server, project)}
    return decode_merge(msgspec.json.encode({"items": [item]}))


@pytest.mark.sshd
def test_the_key_of_the_connection_and_the_pinned_host_key_are_used(
    settings: MergerSettings, server: Server, upstream: Callable[..., Upstream]
) -> None:
    access = GitAccess(sshkey=server.user_key, host_key=server.host_key)
    merger = Merger(replace(settings, connections={"gerrit": access}))
    assert merger.merge(over_ssh(server, upstream())).merged
    merger.close()


@pytest.mark.sshd
def test_the_key_of_the_connection_is_used_for_the_update_before_a_timer_job_too(
    settings: MergerSettings, server: Server, upstream: Callable[..., Upstream]
) -> None:
    access = GitAccess(sshkey=server.user_key, host_key=server.host_key)
    merger = Merger(replace(settings, connections={"gerrit": access}))
    project = upstream()
    asked = {"project": project.name, "connection_name": "gerrit", "url": url_of(server, project)}
    assert merger.update(decode_update(msgspec.json.encode(asked))).updated
    tip = project.commit("master", {"merged": "meanwhile"})
    assert merger.update(decode_update(msgspec.json.encode(asked))).updated
    assert git(merger.settings.git_dir / project.name, "rev-parse", "master") == tip
    merger.close()


@pytest.mark.sshd
def test_a_known_hosts_file_is_used(
    settings: MergerSettings, server: Server, upstream: Callable[..., Upstream], tmp_path: Path
) -> None:
    known = tmp_path / "known hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    access = GitAccess(sshkey=server.user_key, known_hosts=known)
    merger = Merger(replace(settings, connections={"gerrit": access}))
    assert merger.merge(over_ssh(server, upstream())).merged
    merger.close()


@pytest.mark.sshd
@pytest.mark.parametrize("pinned", ["unknown", "other"])
def test_an_unknown_or_other_host_key_is_refused_with_what_to_do(
    settings: MergerSettings, server: Server, upstream: Callable[..., Upstream], pinned: str, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    other = server.user_key.with_suffix(".pub").read_text()
    access = GitAccess(sshkey=server.user_key, known_hosts=empty, host_key=other if pinned == "other" else "")
    merger = Merger(replace(settings, connections={"gerrit": access}))
    with pytest.raises(RemoteUnavailable) as refused:
        merger.merge(over_ssh(server, upstream()))
    merger.close()
    shown = f"[127.0.0.1]:{server.port} {server.host_key})"
    if shutil.which("ssh", path=settings.environment["PATH"]):
        what = f"Host key verification failed.*ssh-keyscan -p {server.port} 127"
    elif pinned == "unknown":
        what = re.escape(f"(add this line to {empty}: {shown}")
    else:
        what = "HOST KEY CHANGED.*" + re.escape(f"(replace the line of [127.0.0.1]:{server.port} by: {shown}")
    assert re.search(what, str(refused.value))
    assert empty.read_text() == ""


def test_paths_in_the_ssh_command_are_quoted_for_the_shell_and_for_ssh() -> None:
    command = ssh_command(GitAccess(sshkey=Path("/a b/$(id) %h;'k"), known_hosts=Path("/known hosts")), None)
    printed = subprocess.run(["sh", "-c", f"set -- {command}; printf '%s\\n' \"$@\""], capture_output=True, timeout=60)
    words = printed.stdout.decode().splitlines()
    assert words[0] == "ssh"
    assert 'IdentityFile="/a b/$(id) %%h;\'k"' in words
    assert 'UserKnownHostsFile="/known hosts"' in words
    assert "StrictHostKeyChecking=yes" in words
