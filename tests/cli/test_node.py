"""`zuul-launcher node`: what a person types to check a node, and what they see."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import nodes
from support.nodes import Sshd

from zuul_launcher.cli.node import node


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with nodes.sshd(tmp_path_factory.mktemp("node")) as started:
        yield started


def run(*arguments: str | Path, **options: Any) -> Result:
    return CliRunner().invoke(node, [str(each) for each in arguments], catch_exceptions=False, **options)


def reached(server: Sshd) -> list[str]:
    return ["--identity", str(server.key), "--known-hosts", str(server.known_hosts)]


def name(server: Sshd) -> str:
    return f"{server.user}@127.0.0.1:{server.port}"


# exec


@pytest.mark.sshd
def test_a_command_runs_on_the_node_and_its_status_is_ours(server: Sshd) -> None:
    done = run("exec", *reached(server), name(server), "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.exit_code, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_words_arrive_as_they_are_and_an_end_by_a_signal_is_told_as_by_a_shell() -> None:
    assert run("exec", "local", "--", "printf", "%s|", "a b", "--x", "$HOME").stdout == "a b|--x|$HOME|"
    assert run("exec", "local", "--", "sh", "-c", "kill -TERM $$").exit_code == 128 + 15


def test_folder_variables_and_input_can_be_given(tmp_path: Path) -> None:
    command = ["--", "sh", "-c", "pwd; echo $A; cat"]
    done = run("exec", "local", "--cwd", tmp_path, "--env", "A=b=c", "--stdin", *command, input="typed\n")
    assert done.stdout == f"{tmp_path}\nb=c\ntyped\n"
    assert run("exec", "local", "--", "cat", input="typed\n").stdout == ""


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    done = run("exec", "--timeout", "0.2", "local", "--", "sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 1000")
    assert (done.exit_code, done.stderr) == (1, "Error: the command was ended, it had not finished within 0.2 s\n")
    if (tmp_path / "pid").exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["local", "--", "/no/such/program"], 1, "No such file or directory: '/no/such/program'"),
        (["local", "--cwd", "relative", "--", "ls"], 2, "a FilePath is absolute, 'relative' is not"),
        (["local", "--env", "novalue", "--", "ls"], 2, "'novalue' is not NAME=VALUE"),
        (["local", "ls", "-l"], 2, "No such option"),
        (["local"], 2, "Missing argument"),
        (["-oProxyCommand=x", "--", "ls"], 2, "No such option"),
        (["host", "--host-key", "nonsense", "--", "ls"], 2, "it is not TYPE KEY"),
        (["a b", "--", "ls"], 2, "is no node: [USER@]HOST[:PORT]"),
        (["--", "-oProxyCommand=x", "ls"], 2, "is no node"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments: list[str], status: int, text: str) -> None:
    done = run("exec", *arguments)
    assert done.exit_code == status
    assert text in done.stderr
    assert "Traceback" not in done.stderr


# Connections that fail


@pytest.mark.sshd
def test_an_unknown_host_key_is_refused(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    done = run("ping", name(server), "--identity", server.key, "--known-hosts", tmp_path / "known_hosts")
    assert done.exit_code == 1
    assert "known_hosts" in done.stderr
    assert (tmp_path / "known_hosts").read_text() == ""


@pytest.mark.sshd
def test_a_host_key_can_be_pinned(server: Sshd) -> None:
    done = run("ping", name(server), "--identity", server.key, "--host-key", server.host_key)
    assert done.exit_code == 0
    other = server.key.with_suffix(".pub").read_text().strip()
    refused = run("ping", name(server), "--identity", server.key, "--host-key", other)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "host key" in refused.stderr.lower()


@pytest.mark.sshd
def test_a_key_that_the_node_does_not_take_is_told(server: Sshd, tmp_path: Path) -> None:
    done = run("ping", name(server), "--identity", server.key.with_name("host"), "--host-key", server.host_key)
    assert done.exit_code == 1
    assert "Authentication failed" in done.stderr


def test_a_node_that_does_not_answer_is_told() -> None:
    done = run("ping", "nobody@127.0.0.1:1", "--host-key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==")
    assert done.exit_code == 1
    assert "127.0.0.1" in done.stderr


# ping


@pytest.mark.sshd
def test_ping_measures_the_way_to_the_node(server: Sshd) -> None:
    done = run("ping", *reached(server), "--count", "2", name(server))
    assert done.exit_code == 0
    assert "connected in " in done.stdout
    assert ", Python 3." in done.stdout
    assert "(slowest of 2: " in done.stdout


# copy


@pytest.mark.sshd
def test_a_file_is_copied_there_and_back(server: Sshd, tmp_path: Path) -> None:
    data = os.urandom(1000) * 3000
    (tmp_path / "file").write_bytes(data)
    there = run("copy", *reached(server), tmp_path / "file", f"{name(server)}:{tmp_path}/there")
    back = run("copy", *reached(server), f"{name(server)}:{tmp_path}/there", tmp_path / "back")
    assert (there.exit_code, there.output, back.exit_code) == (0, "", 0)
    assert (tmp_path / "there").read_bytes() == (tmp_path / "back").read_bytes() == data


@pytest.mark.sshd
def test_a_folder_is_copied_and_what_is_left_out_is_named(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "source" / "a").mkdir(parents=True)
    (tmp_path / "source" / "a" / "file").write_text("12345")
    (tmp_path / "source" / "a" / "skip.o").write_text("x")
    (tmp_path / "source" / "out\x1b[2J").symlink_to("/etc/passwd")
    source = f"{name(server)}:{tmp_path}/source"
    done = run("copy", *reached(server), "--exclude", "**/*.o", source, tmp_path / "target")
    assert done.stderr == "2 entries, 5 bytes\nleft out: out\ufffd[2J\n"
    assert sorted(path.name for path in (tmp_path / "target").rglob("*")) == ["a", "file"]


def test_a_copy_that_fails_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    missing = run("copy", tmp_path / "none", f"local:{tmp_path}/x")
    assert (missing.exit_code, missing.stderr) == (
        1,
        f"Error: [Errno 2] No such file or directory: '{tmp_path}/none'\n",
    )
    taken = run("copy", f"local:{tmp_path}/file", tmp_path)
    assert (taken.exit_code, taken.stderr) == (1, f"Error: [Errno 22] not a regular file: '{tmp_path}'\n")
    relative = run("copy", "local:file", tmp_path / "x")
    assert relative.exit_code == 2
    assert "is no place: NODE:/PATH with an absolute path" in relative.stderr


def test_a_person_at_a_terminal_sees_a_bar(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(3_000_000))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from zuul_launcher.cli.node import node; node()", "copy"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*command, str(tmp_path / "file"), f"local:{tmp_path}/copy"], stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:
            pass  # how a terminal ends
        assert process.wait(60) == 0
    os.close(ours)
    assert "file" in shown.decode()
    assert "3.0/3.0 MB" in shown.decode()
