"""How channels begin, and what is told when they do not: noise, host keys, logins, nodes without Python."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.remoting_nodes import Sshd

from zuul_launcher.remoting import Channel, ChannelSettings, SshNode, connect_ssh, connect_subprocess
from zuul_launcher.remoting.errors import HandshakeFailed
from zuul_launcher.remoting.hostkeys import HostKeyRefused

SECONDS = 60
SETTINGS = ChannelSettings(handshake_timeout=SECONDS, close_timeout=0.2)
Reach = Callable[[list[str]], Channel]


@pytest.fixture(params=["subprocess", pytest.param("ssh", marks=pytest.mark.sshd)])
def reach(request: pytest.FixtureRequest) -> Reach:
    """Runs a command here or on a node; the words that start an agent are appended to it."""
    if request.param == "subprocess":
        return lambda command: connect_subprocess(command, name="node", settings=SETTINGS)
    server: Sshd = request.getfixturevalue("ssh_server")
    return lambda command: connect_ssh(server.node(tuple(command)), name="node", settings=SETTINGS)


def shell(script: str) -> list[str]:
    return ["sh", "-c", script, "profile", sys.executable]


# Noise


def test_noise_before_the_agent_is_skipped(reach: Reach) -> None:
    """D129. What banners and profiles print, up to 64 KiB."""
    noise = 'printf "Welcome!\\n<<<ZLR0>>> {}\\n%s\\n" "$(printf %060000d 0)"; echo profile >&2; printf "no newline"'
    with reach(shell(f'{noise}; exec "$@"')) as channel:
        assert channel.call(len, "abc") == 3


def test_too_much_noise_is_quoted(reach: Reach) -> None:
    """D129. 70 KiB before the preamble, after which an agent even comes."""
    with pytest.raises(
        HandshakeFailed, match=r"^node: 65536 bytes came and no agent\. They end in: \.\.\. (yes ){400}"
    ):
        reach(shell('yes "yes yes yes" | tr "\\n" " " | head -c 71680; exec "$@"'))


def test_what_came_instead_of_an_agent_is_quoted(reach: Reach) -> None:
    with pytest.raises(HandshakeFailed, match=r"(?s)a banner.*exit status 3; its last words: no python here"):
        reach(shell("echo a banner; echo no python here >&2; exit 3"))


def test_a_node_without_python_says_so(reach: Reach) -> None:
    with pytest.raises(HandshakeFailed, match=r"(?s)^node: .*exit status 127; its last words: .*python-of-nobody"):
        reach(["sh", "-c", '"$@"; exit', "sh", "python-of-nobody"])


def test_silence_has_a_deadline() -> None:
    with pytest.raises(HandshakeFailed, match=r"no agent answered within 0\.2 s; nothing was heard"):
        connect_subprocess(shell("exec sleep 60"), settings=ChannelSettings(handshake_timeout=0.2))


def test_a_command_that_is_not_there_cannot_be_run() -> None:
    with pytest.raises(FileNotFoundError):
        connect_subprocess(["/no/such/python"])


def test_a_text_is_no_command() -> None:
    with pytest.raises(TypeError, match=r"a list of words, such as \['python3'\]"):
        connect_subprocess("python3")
    with pytest.raises(TypeError, match=r"a list of words, such as \['python3'\]"):
        connect_ssh(SshNode("127.0.0.1", "nobody", port=1, python="python3"))


# Who it is


@pytest.mark.sshd
def test_an_unknown_host_key_is_refused_with_the_line_to_add_and_not_added(ssh_server: Sshd, tmp_path: Path) -> None:
    """D132. The line that is told is the one that makes the node known."""
    known = tmp_path / "known_hosts"
    known.write_text("# nobody\n")
    node = ssh_server.node((sys.executable,), host_key="", known_hosts=known)
    with pytest.raises(HostKeyRefused) as caught:
        connect_ssh(node, name="node")
    told, line = str(caught.value).split(f"add this line to {known}: ")
    assert told.startswith(
        f"node: the host key of [127.0.0.1]:{ssh_server.port} is not known: it shows the ssh-ed25519 "
    )
    assert known.read_text() == "# nobody\n"
    with pytest.raises(HostKeyRefused):  # still: the first try has added nothing in memory either
        connect_ssh(node)
    known.write_text(line + "\n")
    with connect_ssh(node) as channel:
        assert channel.call(len, "abc") == 3


@pytest.mark.sshd
def test_without_a_file_the_known_hosts_of_the_user_decide(
    ssh_server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D132. Nor is anything made in the home of the user."""
    monkeypatch.setenv("HOME", str(tmp_path))
    node = ssh_server.node((sys.executable,), host_key="")
    with pytest.raises(
        HostKeyRefused, match=r"add this line to ~/\.ssh/known_hosts: \[127\.0\.0\.1\]:\d+ ssh-ed25519 A"
    ):
        connect_ssh(node)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{ssh_server.port} {ssh_server.host_key}\n")
    with connect_ssh(node) as channel:
        assert channel.call(len, "abc") == 3


@pytest.mark.sshd
def test_another_host_key_than_the_known_or_pinned_one_is_refused(ssh_server: Sshd, tmp_path: Path) -> None:
    """D132."""
    other = ssh_server.key.with_suffix(".pub").read_text().strip()
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{ssh_server.port} {other}\n")
    text = r"^node: HOST KEY CHANGED: \[127\.0\.0\.1\]:\d+ shows the ssh-ed25519 key SHA256:\S+, but %s has the ssh-ed"
    with pytest.raises(HostKeyRefused, match=text % known):
        connect_ssh(ssh_server.node((sys.executable,), host_key="", known_hosts=known), name="node")
    with pytest.raises(HostKeyRefused, match=text % "host_key"):
        connect_ssh(ssh_server.node((sys.executable,), host_key=other), name="node")
    with pytest.raises(HostKeyRefused, match=re.escape(ssh_server.host_key) + "$"):
        connect_ssh(ssh_server.node((sys.executable,), host_key=other))


@pytest.mark.parametrize(
    "pinned",
    [
        "ssh-ed25519",
        "AAAAC3NzaC1lZDI1NTE5AAAAIA==",
        "ssh-ed25519 ",
        " ",
        "ssh-ed25519 AAA",
        "ssh-ed25519 !!!!",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        "ssh-rsa AAAAB3NzaC1yc2E=",
        "ssh-dss AAAAB3NzaC1kc3M=",
        "node.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==",
        "SHA256:uNiVztksCsDhcc0u9e8BrrSOhTR5H8N5QmUUHOMLrgI",
    ],
)
def test_a_pinned_key_that_is_none_is_one_clear_error(pinned: str) -> None:
    node = SshNode("127.0.0.1", "nobody", port=1, key=Path("/none"), host_key=pinned)
    with pytest.raises(HandshakeFailed) as caught:
        connect_ssh(node, name="node")
    assert str(caught.value) == f"node: the pinned host_key is not 'TYPE KEY', as a file .pub has it: {pinned!r}"


@pytest.mark.sshd
def test_the_comment_of_a_pinned_key_does_not_matter(ssh_server: Sshd) -> None:
    with connect_ssh(ssh_server.node((sys.executable,), host_key=f" {ssh_server.host_key} root@node\n")) as channel:
        assert channel.call(len, "abc") == 3


@pytest.mark.sshd
def test_a_login_that_fails_says_why(ssh_server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = ssh_server.node((sys.executable,))
    (tmp_path / "key").write_text("no key")
    encrypted = tmp_path / "encrypted"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(encrypted)]
    subprocess.run(command, check=True, timeout=SECONDS)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    for changes, text in (
        ({"key": ssh_server.key.with_name("host")}, "The node does not take the key, or does not know the user"),
        ({"key": None}, "there is no key to log in with: none was given, and no SSH agent has one"),
        ({"key": encrypted}, "encrypted: only an SSH agent can use it"),
        ({"key": tmp_path / "none"}, f"No such file or directory: '{tmp_path}/none'"),
        ({"key": tmp_path / "key"}, "key"),
        ({"host_key": "", "known_hosts": tmp_path / "none"}, f"No such file or directory: '{tmp_path}/none'"),
        ({"port": 1}, "no SSH connection to port 1 of 127.0.0.1: [Errno 111] Connection refused"),
        ({"host": "node.invalid"}, "node.invalid"),
    ):
        with pytest.raises(HandshakeFailed) as caught:
            connect_ssh(dataclasses.replace(node, **changes), name="node")
        assert str(caught.value).startswith("node: no SSH connection to port ")
        assert text in str(caught.value)
