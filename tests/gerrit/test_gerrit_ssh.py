"""One connection for commands: it ends in time whatever the server does, and trusts no unknown key."""

import socket
import threading
from pathlib import Path

import paramiko
import pytest
from support.gerrit_shell import DEADLINE, Proxy, connection

from zuul_launcher.errors import RemoteRefused, RemoteUnavailable
from zuul_launcher.gerrit import ssh
from zuul_launcher.gerrit.hostkeys import ConnectionRefused, HostKeyChanged, HostKeyUnknown
from zuul_launcher.gerrit.ssh import Commands
from zuul_launcher.settings import GerritConnection
from zuul_launcher.sim.gerrit.stand_in import SimGerrit


def run(settings: GerritConnection, command: str = "gerrit version", deadline: float = DEADLINE) -> ssh.Finished:
    commands = Commands(settings)
    try:
        return commands.run(command, deadline)
    finally:
        commands.close()


def test_a_command_gives_its_output_and_status(commands: Commands) -> None:
    assert commands.run("gerrit version") == ssh.Finished(b"gerrit version 3.10.2\n", "", 0)
    refused = commands.run("gerrit nosuch")
    assert (refused.stdout, refused.status) == (b"", 1)
    assert "nosuch: not found" in refused.stderr


def test_an_unknown_host_key_is_refused_and_adding_the_named_line_cures_it(site: SimGerrit, tmp_path: Path) -> None:
    settings = connection(site, tmp_path)
    settings.known_hosts.write_text("")
    with pytest.raises(HostKeyUnknown) as refused:
        run(settings)
    assert settings.known_hosts.read_text() == ""
    settings.known_hosts.write_text(str(refused.value).rpartition(": ")[2] + "\n")
    assert run(settings).status == 0
    assert site.faults.said == ["zuul: gerrit version"]


def test_a_changed_host_key_is_refused_with_an_alarm(site: SimGerrit, tmp_path: Path) -> None:
    settings = connection(site, tmp_path)
    key = paramiko.ECDSAKey.generate()
    settings.known_hosts.write_text(f"[{site.host}]:{site.port} {key.get_name()} {key.get_base64()}\n")
    with pytest.raises(HostKeyChanged, match="HOST KEY CHANGED"):
        run(settings)
    assert site.faults.said == []


def test_a_pinned_key_counts_instead_of_known_hosts(site: SimGerrit, tmp_path: Path) -> None:
    pinned = site.known_hosts_line().partition(" ")[2]
    settings = connection(site, tmp_path, host_key=pinned)
    settings.known_hosts.write_text("")
    assert run(settings).status == 0
    key = paramiko.ECDSAKey.generate()
    with pytest.raises(HostKeyChanged, match="host_key"):
        run(connection(site, tmp_path, host_key=f"{key.get_name()} {key.get_base64()}"))


def test_a_refused_login_is_told_from_an_outage(site: SimGerrit, tmp_path: Path) -> None:
    site.faults.refuse_logins = True
    with pytest.raises(ConnectionRefused, match="login refused"):
        run(connection(site, tmp_path))


def test_no_server_is_an_outage(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(RemoteUnavailable):
        run(GerritConnection(name="gerrit", server="127.0.0.1", user="zuul", port=port, known_hosts=tmp_path / "none"))


@pytest.mark.parametrize("banner", [b"", b"SSH-2.0-x\r\n", b"garbage\r\n" * 200])
def test_a_server_that_never_gets_through_the_handshake_is_an_outage(tmp_path: Path, banner: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def accept() -> None:
            client, _ = listener.accept()
            client.sendall(banner)
            held.append(client)

        thread = threading.Thread(target=accept)
        thread.start()
        settings = GerritConnection(name="gerrit", server="127.0.0.1", user="zuul", port=listener.getsockname()[1])
        client = paramiko.SSHClient()
        with pytest.raises(RemoteUnavailable):
            ssh.log_in(client, settings, deadline=0.5)
        thread.join(DEADLINE)
        held[0].close()


def test_a_command_that_is_never_answered_ends_at_its_deadline(site: SimGerrit, settings: GerritConnection) -> None:
    site.faults.answering.clear()
    with pytest.raises(RemoteUnavailable, match=r"no answer within 0\.5 s"):
        run(settings, deadline=0.5)


def test_a_connection_that_falls_silent_ends_at_the_deadline(site: SimGerrit, tmp_path: Path, proxy: Proxy) -> None:
    settings = connection(site, tmp_path, host_key=site.known_hosts_line().partition(" ")[2], port=proxy.port)
    commands = Commands(settings, connecting=0.5)
    assert commands.run("gerrit version").status == 0
    proxy.freeze()
    with pytest.raises(RemoteUnavailable):
        commands.run("gerrit version", 0.5)
    commands.close()
    proxy.thaw()
    assert run(settings).status == 0


def test_a_lost_connection_is_opened_again_for_the_next_command(site: SimGerrit, commands: Commands) -> None:
    assert commands.run("gerrit version").status == 0
    site._server.drop_connections()
    assert commands.run("gerrit version").status == 0


def test_a_connection_that_ends_in_a_command_leaves_its_outcome_open(site: SimGerrit, commands: Commands) -> None:
    site.create_project("p")
    change = site.push_change("p", "master", {"a": "a\n"}, "Add a")
    site.faults.lose_answer_after_review = True
    with pytest.raises(RemoteUnavailable):
        commands.run(f"gerrit review --message hello {change.id}")
    assert site.messages(change)[-1] == "Patch Set 1:\n\nhello"


def test_an_answer_that_is_too_large_is_refused(
    site: SimGerrit, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "LARGEST_ANSWER", 10)
    with pytest.raises(RemoteRefused, match="larger than 10 bytes"):
        commands.run("gerrit version")


@pytest.mark.parametrize("content", [None, "no key"])
def test_a_key_of_ours_that_can_not_be_used_is_named(site: SimGerrit, tmp_path: Path, content: str | None) -> None:
    key = tmp_path / "id_zuul"
    if content:
        key.write_text(content)
    with pytest.raises(ConnectionRefused, match=r"the SSH key .*id_zuul can not be used"):
        run(connection(site, tmp_path, sshkey=key))
