"""git over our own ssh: what it fetches and pushes, whom it trusts, and how it ends."""

import getpass
import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko
import pytest
from support.gerrit_shell import Proxy, connection
from support.ssh_server import ssh_server

from zuul_launcher.cli.gitssh import begin, converse
from zuul_launcher.cli.merger import OWN_SSH
from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.gerrit.ssh import log_in
from zuul_launcher.merger.environment import own_ssh_command
from zuul_launcher.merger.settings import GitAccess
from zuul_launcher.sim.gerrit.stand_in import SimGerrit

SECONDS = 120
LARGE = 50 * 1024 * 1024
PROJECT = "org/project"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMKzOUJ93pW+EomLpB9fX/lXxUDXScahBEMjJ963jacH"
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Place:
    """A project at a git server, whose one branch is `master`, and how we get in."""

    url: str
    access: GitAccess
    known_hosts_line: str

    def git(self, folder: Path, *arguments: str, **environment: str) -> Done:
        identity = {
            f"GIT_{who}_{what}": "ann@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        ssh = {"GIT_SSH_COMMAND": own_ssh_command(OWN_SSH, self.access), "GIT_SSH_VARIANT": "ssh"}
        return subprocess.run(
            ["git", "-c", "core.compression=0", *arguments],
            cwd=folder,
            env={**os.environ, **identity, **ssh, **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def done(self, folder: Path, *arguments: str) -> str:
        """What git printed; it must have worked."""
        finished = self.git(folder, *arguments)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.strip()


@pytest.fixture
def gerrit(tmp_path: Path) -> Iterator[SimGerrit]:
    with SimGerrit(tmp_path / "gerrit") as site:
        site.create_project(PROJECT, {"README": "hello\n"})
        yield site


@pytest.fixture
def at_gerrit(gerrit: SimGerrit) -> Place:
    access = GitAccess(sshkey=gerrit.key_file("admin"), host_key=gerrit.known_hosts_line().partition(" ")[2])
    return Place(f"ssh://admin@{gerrit.host}:{gerrit.port}/{PROJECT}", access, gerrit.known_hosts_line())


@pytest.fixture
def at_sshd(tmp_path: Path, gerrit: SimGerrit) -> Iterator[Place]:
    """A copy of the project, at a real server."""
    repository = tmp_path / "it's a project.git"
    command = ["git", "clone", "--quiet", "--bare", str(gerrit.repository(PROJECT)), str(repository)]
    subprocess.run(command, check=True, timeout=SECONDS)
    with ssh_server(tmp_path) as server:
        access = GitAccess(sshkey=server.user_key, host_key=server.host_key)
        url = f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{repository}"
        yield Place(url, access, f"[127.0.0.1]:{server.port} {server.host_key}")


@pytest.fixture(params=["at_gerrit", pytest.param("at_sshd", marks=pytest.mark.sshd)])
def place(request: pytest.FixtureRequest) -> Place:
    """The stand-in Gerrit, then OpenSSH."""
    found: Place = request.getfixturevalue(request.param)
    return found


def test_fifty_megabytes_are_pushed_and_fetched_as_they_are(place: Place, tmp_path: Path) -> None:
    place.done(tmp_path, "clone", "--quiet", place.url, "mine")
    mine = tmp_path / "mine"
    assert (mine / "README").read_text() == "hello\n"
    content = os.urandom(LARGE)
    (mine / "large").write_bytes(content)
    place.done(mine, "add", "large")
    place.done(mine, "commit", "--quiet", "--message", "Add a large file")
    place.done(mine, "push", "--quiet", "origin", "HEAD:refs/heads/master")
    place.done(tmp_path, "clone", "--quiet", place.url, "theirs")
    assert (tmp_path / "theirs" / "large").read_bytes() == content


def test_people_push_for_review(at_gerrit: Place, gerrit: SimGerrit, tmp_path: Path) -> None:
    at_gerrit.done(tmp_path, "clone", "--quiet", at_gerrit.url, "mine")
    message = f"Say nothing\n\nChange-Id: I{40 * '1'}"
    at_gerrit.done(tmp_path / "mine", "commit", "--quiet", "--allow-empty", "--message", message)
    pushed = at_gerrit.git(tmp_path / "mine", "push", "origin", "HEAD:refs/for/master")
    assert pushed.returncode == 0
    assert "/c/org/project/+/1 Say nothing" in pushed.stderr
    refused = at_gerrit.git(tmp_path / "mine", "push", "origin", "HEAD:refs/for/master")
    assert refused.returncode == 1
    assert "no new changes" in refused.stderr


def test_a_server_that_takes_it_is_told_the_version_of_the_protocol(at_gerrit: Place, tmp_path: Path) -> None:
    told = at_gerrit.git(tmp_path, "ls-remote", at_gerrit.url, GIT_TRACE_PACKET="1")
    assert "< version 2" in told.stderr
    old = at_gerrit.git(tmp_path, "-c", "protocol.version=0", "ls-remote", at_gerrit.url, GIT_TRACE_PACKET="1")
    assert "< version 2" not in old.stderr
    assert told.stdout == old.stdout != ""


def test_an_unknown_host_key_is_refused_and_adding_the_named_line_cures_it(place: Place, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known hosts"
    known_hosts.write_text("")
    unknown = replace(place, access=replace(place.access, known_hosts=known_hosts, host_key=""))
    refused = unknown.git(tmp_path, "ls-remote", place.url)
    assert refused.returncode == 128
    first, second, *_ = refused.stderr.splitlines()
    assert first.endswith(f"add this line to {known_hosts}: {place.known_hosts_line}")
    assert second == "Host key verification failed."
    assert known_hosts.read_text() == ""
    known_hosts.write_text(first.rpartition(": ")[2] + "\n")
    assert unknown.done(tmp_path, "ls-remote", place.url).endswith("refs/heads/master")


def test_another_key_than_the_pinned_one_is_refused(place: Place, gerrit: SimGerrit, tmp_path: Path) -> None:
    wrong = replace(place, access=replace(place.access, host_key=OTHER_KEY))
    refused = wrong.git(tmp_path, "ls-remote", place.url)
    assert refused.returncode == 128
    assert "HOST KEY CHANGED" in refused.stderr
    assert gerrit.faults.said == []


def run(place: Place, *arguments: str) -> Done:
    command = [*shlex.split(own_ssh_command(OWN_SSH, place.access)), *arguments]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_the_status_and_all_that_is_said_are_those_of_the_command(at_gerrit: Place, gerrit: SimGerrit) -> None:
    target = ["-p", str(gerrit.port), "admin@127.0.0.1"]
    told = run(at_gerrit, *target, "gerrit version")
    assert (told.returncode, told.stdout, told.stderr) == (0, "gerrit version 3.10.2\n", "")
    refused = run(at_gerrit, *target, "gerrit nosuch")
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", "fatal: gerrit: nosuch: not found\n")


@pytest.mark.sshd
def test_a_command_gets_all_input_to_its_end(at_sshd: Place) -> None:
    port = at_sshd.known_hosts_line.partition("]:")[2].partition(" ")[0]
    command = [*shlex.split(own_ssh_command(OWN_SSH, at_sshd.access)), "-p", port, f"{getpass.getuser()}@127.0.0.1"]
    done = subprocess.run(
        [*command, "cat; echo it ends >&2; exit 7"], input=b"a\0b\n", capture_output=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, b"a\0b\n", b"it ends\n")


def test_without_a_server_or_a_login_the_status_is_that_of_ssh(at_gerrit: Place, gerrit: SimGerrit) -> None:
    gerrit.faults.refuse_logins = True
    refused = run(at_gerrit, "-p", str(gerrit.port), "admin@127.0.0.1", "gerrit version")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (255, 1)
    assert "login refused" in refused.stderr
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nobody = run(at_gerrit, "-p", str(port), "admin@127.0.0.1", "gerrit version")
    assert (nobody.returncode, len(nobody.stderr.splitlines())) == (255, 1)


def test_a_connection_that_ends_in_the_command_is_no_success(at_gerrit: Place, gerrit: SimGerrit) -> None:
    command = [*shlex.split(own_ssh_command(OWN_SSH, at_gerrit.access)), "-p", str(gerrit.port), "zuul@127.0.0.1"]
    command = [word.replace("keys/admin", "keys/zuul") for word in command]
    with subprocess.Popen(
        [*command, "gerrit stream-events"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            speaking = threading.Event()

            def speak() -> None:
                while not speaking.wait(0.1):
                    gerrit.say("hello")

            speaker = threading.Thread(target=speak)
            speaker.start()
            assert process.stdout.read(5) == b"hello"
            speaking.set()
            speaker.join(SECONDS)
            assert gerrit.drop_streams() == 1
            assert process.wait(SECONDS) == 255
            assert b"closed before the command ended" in process.stderr.read()
        finally:
            process.kill()


def test_an_option_that_it_does_not_know_is_refused(at_gerrit: Place) -> None:
    assert run(at_gerrit, "-o", "ProxyCommand=id", "admin@127.0.0.1", "gerrit version").returncode == 2


def test_it_is_our_python_that_runs_it_wherever_git_stands() -> None:
    assert OWN_SSH[:2] == (sys.executable, "-P")


@pytest.fixture
def ends() -> Iterator[tuple[int, int, int]]:
    """Streams to which nobody says anything."""
    given, giver = os.pipe()
    out = os.open(os.devnull, os.O_WRONLY)
    yield given, out, out
    for each in (giver, given, out):
        os.close(each)


def test_a_server_that_falls_silent_in_the_command_is_given_up(
    gerrit: SimGerrit, tmp_path: Path, ends: tuple[int, int, int]
) -> None:
    proxy = Proxy(gerrit.port)
    pinned = gerrit.known_hosts_line().partition(" ")[2]
    client = paramiko.SSHClient()
    transport = log_in(client, connection(gerrit, tmp_path, host_key=pinned, port=proxy.port))
    channel = begin(transport, b"gerrit stream-events", [])
    proxy.freeze()
    with pytest.raises(RemoteUnavailable):
        converse(channel, ends, silence=0.5)
    client.close()
    proxy.close()
