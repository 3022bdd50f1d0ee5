"""Launcher and Proc: what a process gets, what it gives back, and how it is ended."""

import errno
import hashlib
import io
import os
import pwd
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from support import node_code, nodes
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, LocalChannel, connect_subprocess
from zuul_launcher.remoting.errors import Cancelled, ChannelClosed, WrongChannel
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.launcher import PIPE, STDOUT, Launcher, LaunchError, Proc

SECONDS = 60.0
ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"


@pytest.fixture(scope="module", params=nodes.KINDS)
def channel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel | None]:
    with nodes.opened(request.param, tmp_path_factory.mktemp("node")) as opened:
        if opened is not None:
            opened.allow("support.node_code")
        yield opened


@pytest.fixture
def launcher(channel: Channel | None) -> Launcher:
    return Launcher(channel)


def output(launcher: Launcher, *command: str, **options: Any) -> str:
    found = io.BytesIO()
    assert launcher.launch(command, stdout=found, **options).join(SECONDS) == 0
    return found.getvalue().decode()


def is_running(pid: int) -> bool:
    """Zombies have ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def written(path: Path) -> Callable[[], str]:
    return lambda: path.read_text() if path.exists() else ""


# What it gets


@pytest.mark.parametrize("word", ["a b", "'", '"', "$HOME", "a\nb", "", "*", "--", "ünï", "\\", "`id`", "\x1b[1m"])
def test_arguments_arrive_as_they_are(launcher: Launcher, word: str) -> None:
    """D134."""
    assert output(launcher, "printf", "%s|", word, "end") == f"{word}|end|"


def test_the_environment_is_added_to_that_of_the_agent(launcher: Launcher, channel: Channel | None) -> None:
    """D134."""
    of_the_agent = dict(os.environ) if channel is None else channel.call(node_code.environment)
    assert {"PATH", "HOME"} < of_the_agent.keys()
    found = output(
        launcher, "env", "-0", env={"ADDED": "a b\nc", "HOME": None, "PATH": of_the_agent["PATH"] + ":/none"}
    )
    given = dict(line.split("=", 1) for line in found.split("\0") if line)
    expected = {**of_the_agent, "ADDED": "a b\nc", "PATH": of_the_agent["PATH"] + ":/none"}
    del expected["HOME"]
    assert given == expected


def test_a_process_runs_in_the_folder_that_is_given(launcher: Launcher, channel: Channel, tmp_path: Path) -> None:
    assert output(launcher, "pwd", cwd=FilePath(channel, str(tmp_path))) == f"{tmp_path}\n"


def test_a_path_of_the_node_is_an_argument(launcher: Launcher, channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    found = io.BytesIO()
    launcher.launch(["cat", FilePath(channel, str(tmp_path / "file"))], stdout=found).join(SECONDS)
    assert found.getvalue() == b"content"


def test_a_path_of_another_node_is_no_argument(launcher: Launcher) -> None:
    with LocalChannel() as other, pytest.raises(WrongChannel, match="not on the node"):
        launcher.launch(["cat", FilePath(other, "/etc/hosts")])


def test_input_is_empty_unless_given(launcher: Launcher) -> None:
    assert output(launcher, "cat") == ""
    assert output(launcher, "cat", stdin=b"bytes") == "bytes"
    assert output(launcher, "cat", stdin=io.BytesIO(b"a file")) == "a file"


def test_a_process_is_the_leader_of_its_own_session(launcher: Launcher) -> None:
    script = "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0))"
    assert output(launcher, sys.executable, "-c", script) == "True\n"


def test_a_line_for_a_shell_is_refused(launcher: Launcher) -> None:
    with pytest.raises(TypeError, match=r"a command is a list.*\['sh', '-c', text\]"):
        launcher.launch("ls /")
    with pytest.raises(TypeError, match="texts and paths"):
        launcher.launch(["ls", cast(str, Path("/"))])
    with pytest.raises(ValueError, match="at least the name"):
        launcher.launch([])


def test_what_cannot_be_a_stream_or_a_variable_is_refused_at_once(launcher: Launcher) -> None:
    with pytest.raises(TypeError, match=r"stdin is bytes, a binary file, PIPE or None, not 'text'"):
        launcher.launch(["cat"], stdin="text")
    with pytest.raises(
        TypeError, match=r"stdout is a file of bytes; of a file of texts such as sys\.stdout it is the \.b"
    ):
        launcher.launch(["true"], stdout=cast(Any, io.StringIO()))
    with pytest.raises(TypeError, match="stderr is a binary file, PIPE or None, not 5"):
        launcher.launch(["true"], stderr=cast(Any, 5))
    for variables in ({"A": 1}, {1: "A"}):
        with pytest.raises(TypeError, match=r"env has texts, and None to take a variable away, not .*1"):
            launcher.launch(["true"], env=cast(Any, variables))


def test_an_input_that_fails_is_told_by_join(launcher: Launcher) -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(errno.EIO, "the disk is torn")
            return super().read(4)

    found = io.BytesIO()
    process = launcher.launch(["cat"], stdin=Torn(b"some and more"), stdout=found)
    with pytest.raises(OSError, match="the disk is torn"):
        process.join(SECONDS)
    assert found.getvalue() == b"some"
    with pytest.raises(TypeError, match="str"):
        launcher.launch(["cat"], stdin=cast(Any, Mixed())).join(SECONDS)


class Mixed:
    """Reads texts, as a file does that was opened without `b`."""

    def read(self, size: int) -> str:
        return "text"


def test_root_starts_processes_of_other_users(launcher: Launcher, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root")
    nobody = pwd.getpwnam("nobody")
    script = 'echo "$(id -u):$(id -g):$HOME:$USER"'
    found = output(launcher, "/bin/sh", "-c", script, user="nobody", env={"PATH": "/usr/bin:/bin"})
    assert found == f"{nobody.pw_uid}:{nobody.pw_gid}:{nobody.pw_dir}:nobody\n"
    us = pwd.getpwuid(os.getuid()).pw_name
    assert output(launcher, "id", "-un", user=us) == f"{us}\n"


@pytest.mark.sshd
def test_processes_of_another_user_get_and_give_the_same(open_kind: Callable[[str], Channel]) -> None:
    """D134. On a node whose agent can write nowhere."""
    with open_kind("ssh") as node:
        launcher = Launcher(node)
        words = ["a b", "'", '"', "$HOME", "a\nb", ""]
        script = 'printf "%s|" "$@" "$ADDED" "$(id -u)"; exit 77'
        found = io.BytesIO()
        process = launcher.launch(["sh", "-c", script, "sh", *words], env={"ADDED": "more"}, stdout=found)
        assert process.join(SECONDS) == 77
        assert found.getvalue().decode().split("|") == [*words, "more", str(node.call(os.getuid)), ""]
        assert launcher.launch(["sh", "-c", "kill -KILL $$"]).wait(SECONDS) == -signal.SIGKILL


# What it gives back


@pytest.mark.parametrize("status", [0, 1, 77, 255])
def test_the_exit_status_is_exact(launcher: Launcher, status: int) -> None:
    """D134."""
    process = launcher.launch(["sh", "-c", f"exit {status}"])
    assert (process.wait(SECONDS), process.join(SECONDS), process.is_alive()) == (status, status, False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR1])
def test_the_signal_is_exact(launcher: Launcher, number: signal.Signals) -> None:
    """D134."""
    assert launcher.launch(["sh", "-c", f"ulimit -c 0; kill -{number.value} $$"]).wait(SECONDS) == -number


def test_output_and_errors_go_to_their_sinks(launcher: Launcher) -> None:
    out, err = io.BytesIO(), io.BytesIO()
    process = launcher.launch(["sh", "-c", "echo out; echo err >&2"], stdout=out, stderr=err)
    process.join(SECONDS)
    assert (out.getvalue(), err.getvalue()) == (b"out\n", b"err\n")


def test_output_and_errors_can_be_joined_in_their_order(launcher: Launcher) -> None:
    script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done"
    found = output(launcher, "sh", "-c", script, stderr=STDOUT)
    assert found == "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"


def test_output_without_a_reader_is_thrown_away(launcher: Launcher) -> None:
    assert launcher.launch(["sh", "-c", "seq 100000; seq 100000 >&2"]).join(SECONDS) == 0


def test_streams_can_be_talked_with(launcher: Launcher) -> None:
    with launcher.launch(["sh", "-c", "while read -r line; do echo got $line; done"], stdin=PIPE, stdout=PIPE) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        for word in (b"one", b"two"):
            one.stdin.write(word + b"\n")
            assert one.stdout.readline() == b"got " + word + b"\n"
        one.stdin.close()
        assert one.stdout.read() == b""
        assert one.wait(SECONDS) == 0


def test_much_goes_through_a_process_unchanged(launcher: Launcher) -> None:
    data = os.urandom(1000) * 4000
    found = io.BytesIO()
    launcher.launch(["cat"], stdin=data, stdout=found).join(SECONDS)
    assert hashlib.sha256(found.getvalue()).digest() == hashlib.sha256(data).digest()


def test_a_reader_that_does_not_read_stops_the_process_and_nothing_else(launcher: Launcher, tmp_path: Path) -> None:
    script = "seq 2000000; echo over >&2"
    err = io.BytesIO()
    with launcher.launch(["sh", "-c", script], stdout=PIPE, stderr=err) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        assert output(launcher, "echo", "others go on") == "others go on\n"
        assert (process.is_alive(), err.getvalue()) == (True, b"")
        count = sum(chunk.count(b"\n") for chunk in iter(lambda: process.stdout.read(65536), b""))  # type: ignore[union-attr]
        assert (count, process.join(SECONDS), err.getvalue()) == (1_999_999, 0, b"over\n")


def test_a_reader_that_leaves_ends_the_output_as_head_does(launcher: Launcher) -> None:
    process = launcher.launch(["sh", "-c", "exec yes"], stdout=PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(SECONDS) == -signal.SIGPIPE


def test_a_sink_that_fails_is_told_by_join(launcher: Launcher) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "no space left")

    process = launcher.launch(["sh", "-c", "exec yes"], stdout=Full())
    with pytest.raises(OSError, match="no space left"):
        process.join(SECONDS)


def test_wait_tells_the_end_though_a_child_holds_the_output_and_join_waits_for_it(
    launcher: Launcher, tmp_path: Path
) -> None:
    found = io.BytesIO()
    script = f"(until test -e {tmp_path}/go; do sleep 0.05; done; echo late) & echo early"
    process = launcher.launch(["sh", "-c", script], stdout=found)
    assert process.wait(SECONDS) == 0
    with pytest.raises(TimeoutError, match="a process that was left behind"):
        process.join(0.01)
    (tmp_path / "go").touch()
    assert process.join(SECONDS) == 0
    assert found.getvalue() == b"early\nlate\n"


def test_a_wait_has_a_deadline_and_the_process_goes_on(launcher: Launcher) -> None:
    with launcher.launch(["sleep", "1000"]) as process:
        with pytest.raises(TimeoutError, match=r"'sleep 1000' has not ended within 0\.01 s"):
            process.wait(0.01)
        assert process.is_alive()
        assert is_running(process.pid)


def test_twenty_processes_run_at_once(launcher: Launcher) -> None:
    running = [launcher.launch(["cat"], stdin=PIPE, stdout=PIPE) for _ in range(20)]
    for number, process in enumerate(running):
        assert process.stdin is not None
        process.stdin.write(b"%d" % number)
        process.stdin.close()
    assert [process.stdout.read() for process in running if process.stdout] == [b"%d" % each for each in range(20)]
    assert [process.wait(SECONDS) for process in running] == [0] * 20


# What cannot be started


def test_a_program_or_folder_that_is_missing_is_named(launcher: Launcher, channel: Channel, tmp_path: Path) -> None:
    with pytest.raises(LaunchError) as caught:
        launcher.launch(["/no/such/program", "argument"])
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, "/no/such/program")
    with pytest.raises(LaunchError) as caught:
        launcher.launch(["true"], cwd=FilePath(channel, str(tmp_path / "none")))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(tmp_path / "none"))


def test_a_file_that_is_no_program_is_an_error_with_its_number(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for mode, number in ((0o644, errno.EACCES), (0o755, errno.ENOEXEC)):
        (tmp_path / "text").chmod(mode)
        with pytest.raises(LaunchError) as caught:
            launcher.launch([str(tmp_path / "text")])
        assert caught.value.errno == number


def test_a_user_that_nobody_knows_and_bad_names_are_refused(launcher: Launcher) -> None:
    with pytest.raises(LaunchError, match="no-such-user"):
        launcher.launch(["true"], user="no-such-user")
    with pytest.raises(LaunchError, match="null byte"):
        launcher.launch(["a\0b"])
    with pytest.raises(LaunchError, match="environment"):
        launcher.launch(["true"], env={"A=B": "c"})


def test_another_user_is_refused_where_the_agent_is_not_root(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to become somebody else")
    command = ["setpriv", "--reuid=nobody", "--clear-groups", "/usr/bin/python3"]
    with connect_subprocess(command, environment={"PATH": os.environ["PATH"], "HOME": "/nonexistent"}) as node:
        with pytest.raises(LaunchError, match="the agent runs as nobody: only root") as caught:
            Launcher(node).launch(["true"], user="root")
        assert caught.value.errno == errno.EPERM


# Its end


def started_family(launcher: Launcher, tmp_path: Path, *, deaf: bool) -> tuple[Proc, int, int]:
    """A process with a child and a grandchild, which all ignore TERM if deaf. The numbers of the children."""
    trap = "trap '' TERM; " if deaf else ""
    inner = f"sleep 1000 & echo $! > {tmp_path}/grandchild; wait"
    script = f"{trap}sh -c '{inner}' & echo $! > {tmp_path}/child; wait"
    process = launcher.launch(["sh", "-c", script])
    child = wait_until(written(tmp_path / "child"), what="the child")
    grandchild = wait_until(written(tmp_path / "grandchild"), what="the grandchild")
    return process, int(child), int(grandchild)


@pytest.mark.parametrize(("deaf", "status"), [(False, -signal.SIGTERM), (True, -signal.SIGKILL)])
def test_kill_ends_the_whole_group(launcher: Launcher, tmp_path: Path, deaf: bool, status: int) -> None:
    process, child, grandchild = started_family(launcher, tmp_path, deaf=deaf)
    process.kill(grace=0.5)
    assert process.join(SECONDS) == status
    wait_until(lambda: not is_running(child) and not is_running(grandchild), what="the end of the group")
    process.kill()


def test_kill_ends_what_a_process_left_behind_in_its_group(launcher: Launcher, tmp_path: Path) -> None:
    found = io.BytesIO()
    script = f"sleep 1000 & echo $! > {tmp_path}/child"
    process = launcher.launch(["sh", "-c", script], stdout=found)
    child = int(wait_until(written(tmp_path / "child")))
    assert process.wait(SECONDS) == 0
    assert is_running(child)
    process.kill(0.5)
    wait_until(lambda: not is_running(child), what="the end of the child")
    assert process.join(SECONDS) == 0


def test_a_block_ends_its_process(launcher: Launcher) -> None:
    with launcher.launch(["sleep", "1000"]) as process:
        assert is_running(process.pid)
    assert process.wait(SECONDS) == -signal.SIGTERM


def test_daemons_are_found_by_their_marks(launcher: Launcher, tmp_path: Path) -> None:
    mark = {"BUILD_COOKIE": str(tmp_path), "OTHER": "x"}
    script = f"setsid sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/daemon; while :; do sleep 0.1; done' &"
    launcher.launch(["sh", "-c", script], env=mark).wait(SECONDS)
    daemon = int(wait_until(written(tmp_path / "daemon")))
    with launcher.launch(["sleep", "1000"], env={"OTHER": "x"}) as other:
        assert launcher.end_marked({"BUILD_COOKIE": str(tmp_path)}, grace=0.2) >= 1
        wait_until(lambda: not is_running(daemon), what="the end of the daemon")
        assert other.is_alive()
    assert launcher.end_marked(mark) == 0
    with pytest.raises(ValueError, match="marks"):
        launcher.end_marked({})


@pytest.fixture(params=nodes.CHANNELS)
def lost(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel]:
    """A channel that a test closes."""
    with nodes.opened(request.param, tmp_path_factory.mktemp("node")) as opened:
        assert opened is not None
        opened.allow("support.node_code")
        yield opened


def test_closing_a_channel_ends_its_processes_and_their_waits(lost: Channel, tmp_path: Path) -> None:
    process, child, grandchild = started_family(Launcher(lost), tmp_path, deaf=True)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            process.wait()
        except BaseException as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    lost.close()
    waiting.join(SECONDS)
    assert [type(error) for error in errors] == [ChannelClosed]
    assert not process.is_alive()
    for pid in (process.pid, child, grandchild):
        wait_until(lambda pid=pid: not is_running(pid), what="the end of a process")
    with pytest.raises(ChannelClosed):
        Launcher(lost).launch(["true"])


def test_a_killed_agent_is_the_error_of_the_wait() -> None:
    with connect_subprocess() as node:
        process = Launcher(node).launch(["sleep", "1000"])
        os.kill(node.call(os.getpid), signal.SIGKILL)
        with pytest.raises(ChannelClosed, match="SIGKILL"):
            process.wait(SECONDS)
        os.killpg(process.pid, signal.SIGKILL)


def test_a_cancelled_call_ends_the_process_that_it_waits_for(lost: Channel, tmp_path: Path) -> None:
    """D128. During Proc.wait."""
    script = f"echo $$ > {tmp_path}/pid; exec sleep 1000"
    future = lost.call_async(node_code.run_here, ["sh", "-c", script])
    pid = int(wait_until(written(tmp_path / "pid")))
    future.cancel()
    with pytest.raises(Cancelled):
        future.result(SECONDS)
    wait_until(lambda: not is_running(pid), what="the end of the process")


def test_a_process_whose_own_call_is_cancelled_is_ended(launcher: Launcher) -> None:
    """D128. As where the caller is interrupted before it has heard of the start."""
    process = launcher.launch(["sleep", "1000"])
    process._future.cancel()
    assert process.wait(SECONDS) == -signal.SIGTERM
    assert not is_running(process.pid)


def test_a_process_that_a_callable_left_running_ends_with_the_channel(lost: Channel) -> None:
    pid = lost.call(node_code.start_here, ["sleep", "1000"])
    assert is_running(pid)
    lost.close()
    wait_until(lambda: not is_running(pid), what="the end of the process")


def test_no_thread_and_no_descriptor_is_left_behind() -> None:
    with LocalChannel() as node:
        Launcher(node).launch(["true"], stdin=b"x", stdout=io.BytesIO(), stderr=io.BytesIO()).join(SECONDS)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(5):
            Launcher(node).launch(["true"], stdin=b"x", stdout=io.BytesIO(), stderr=io.BytesIO()).join(SECONDS)
            Launcher(node).launch(["sleep", "1000"], stdin=PIPE).kill(1)
        wait_until(lambda: not [each for each in threading.enumerate() if each.name.startswith("process")])
        wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before, what="the end of all descriptors")
