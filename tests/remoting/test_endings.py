"""How channels end, and what is left of them: on this machine, real processes and a real sshd."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import remote_code
from support.remoting_nodes import Sshd, is_alive
from support.waiting import wait_until

from zuul_launcher.remoting import (
    Channel,
    ChannelSettings,
    LocalChannel,
    Pipe,
    RemoteFuture,
    connect_ssh,
    connect_subprocess,
    node,
    nodeprocesses,
)
from zuul_launcher.remoting.errors import ChannelClosed, ChannelForked
from zuul_launcher.remoting.launcher import Launcher

SECONDS = 60  # less than the silence after which a node is given up
ROOT = Path(__file__).parent.parent.parent
PENDING = 50
SSH = pytest.param("ssh", marks=pytest.mark.sshd)
# The agent, what a callable started in its group, and a process with a child that both ignore TERM; a call is deaf.
CONTROLLER = """
import sys, time
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from support import remote_code
from zuul_launcher.remoting import SshNode, connect_ssh, connect_subprocess
from zuul_launcher.remoting.launcher import PIPE, Launcher
channel = {connect}
channel.allow("support.remote_code")
channel.call_async(time.sleep, 600)
deaf = Launcher(channel).launch(["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait; wait"], stdout=PIPE)
child = int(deaf.stdout.readline())
print(channel.call(remote_code.pid), channel.call(remote_code.run_child, 600), deaf.pid, child, flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["subprocess", SSH])
def apart(request: pytest.FixtureRequest, open_kind: Callable[[str], Channel]) -> Iterator[Channel]:
    """A node whose agent is a process, for this test alone."""
    with open_kind(request.param) as channel:
        yield channel


def test_a_killed_agent_fails_all_pending_calls_with_signal_and_last_words(apart: Channel) -> None:
    """D124. At once, though a child of the agent lives on and holds its streams: pings would need two minutes."""
    child = apart.call(remote_code.run_child, 600)
    pid = apart.call(remote_code.pid)
    for number in range(30):
        apart.call(remote_code.say, f"word {number}.")
    futures: list[RemoteFuture] = [apart.call_async(remote_code.read_all, Pipe.to_remote()) for _ in range(PENDING)]
    causes: list[BaseException] = []
    apart.on_close(causes.append)
    assert apart.settings.ping_timeout > SECONDS
    os.kill(pid, signal.SIGKILL)
    texts = set()
    for future in futures:
        with pytest.raises(ChannelClosed) as caught:
            future.result(SECONDS)
        texts.add(str(caught.value))
    os.kill(child, signal.SIGKILL)
    (text,) = texts
    assert re.match(rf"channel {apart.name}: .*SIGKILL.*; its last words: word 1[01]\.\n", text)
    assert "\n".join(f"word {number}." for number in range(11, 30)) in text
    with pytest.raises(ChannelClosed, match="SIGKILL"):
        apart.call(len, "")
    assert apart.wait_closed(SECONDS)
    assert [str(cause) for cause in causes] == [text]
    apart.on_close(causes.append)
    assert len(causes) == 2


def test_a_reader_never_sees_a_clean_end_when_the_writer_dies(apart: Channel) -> None:
    """D118. What it had written is read first."""
    pipe = Pipe.to_local()
    apart.call_async(remote_code.write_and_die, pipe, b"some")
    assert pipe.reader.read(4) == b"some"
    for _ in range(2):
        with pytest.raises(ChannelClosed, match="SIGKILL"):
            pipe.reader.read()


def test_a_writer_learns_that_its_reader_has_died(apart: Channel) -> None:
    """D118. Though it waits for a window that will never open."""
    pipe = Pipe.to_remote()
    future = apart.call_async(remote_code.wait_in_vain, pipe)
    pid = apart.call(remote_code.pid)
    timer = threading.Thread(target=lambda: (wait_until(lambda: not pipe.writer._credit), os.kill(pid, signal.SIGKILL)))
    timer.start()
    with pytest.raises(ChannelClosed, match="SIGKILL"):
        pipe.writer.write(bytes(8 << 20))
    with pytest.raises(ChannelClosed, match="SIGKILL"):
        future.result(SECONDS)
    timer.join()


@pytest.mark.parametrize("kind", ["local", "subprocess", SSH])
def test_after_close_nothing_is_left_and_calls_fail_at_once(
    kind: str, open_kind: Callable[[str], Channel], request: pytest.FixtureRequest
) -> None:
    """D126."""
    if kind == "ssh":
        request.getfixturevalue("ssh_server")
    threads_before, open_before = set(threading.enumerate()), len(list(Path("/proc/self/fd").iterdir()))
    channel = open_kind(kind)
    pid = channel.call(remote_code.pid)
    started = Launcher(channel).launch(["sleep", "600"], stdin=b"x", stdout=io.BytesIO())
    pending = channel.call_async(remote_code.read_all, Pipe.to_remote())
    channel.close()
    channel.close()
    assert not channel.is_open
    for use in (lambda: channel.call(len, ""), lambda: channel.call_async(len, ""), lambda: pending.result(SECONDS)):
        with pytest.raises(ChannelClosed, match="closed by this side"):
            use()
    wait_until(lambda: set(threading.enumerate()) <= threads_before, what="the end of the threads")
    wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= open_before, what="the end of all descriptors")
    wait_until(lambda: not is_alive(started.pid), what="the end of the process")
    if kind != "local":
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the agent")


@pytest.mark.parametrize("kind", ["subprocess", SSH])
def test_a_killed_controller_leaves_no_agent_and_no_process_of_it(kind: str, request: pytest.FixtureRequest) -> None:
    """D127. The times that bound it are constants: processes get KILL long before the agent may go at the latest."""
    assert nodeprocesses.LAST_GRACE < node.EXIT_SECONDS <= 5
    connect = "connect_subprocess([sys.executable])"
    if kind == "ssh":
        server: Sshd = request.getfixturevalue("ssh_server")
        of_node = server.node((sys.executable,))
        connect = f"connect_ssh({repr(of_node).replace('PosixPath', 'Path')})"
    script = CONTROLLER.format(root=str(ROOT), tests=str(ROOT / "tests"), connect=connect)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout is not None
        processes = [int(number) for number in controller.stdout.readline().split()]
        assert [is_alive(process) for process in processes] == [True] * 4
        controller.send_signal(signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, processes)), what="the end of the agent and its processes")


def test_a_terminated_agent_cleans_up(apart: Channel) -> None:
    child = apart.call(remote_code.run_child, 600)
    os.kill(apart.call(remote_code.pid), signal.SIGTERM)
    wait_until(lambda: not is_alive(child), what="the end of the child")
    assert apart.wait_closed(SECONDS)
    with pytest.raises(ChannelClosed, match="exit status 143"):
        apart.call(len, "")


def test_a_stopped_agent_is_found_by_its_silence() -> None:
    settings = ChannelSettings(ping_interval=0.1, ping_timeout=1.0, close_timeout=0.2)
    with connect_subprocess([sys.executable], name="stopped", settings=settings) as channel:
        pid = channel.call(os.getpid)
        future = channel.call_async(len, "")
        assert future.result(SECONDS) == 0
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: _has_stopped(pid), what="the stop of all threads")
        pending = channel.call_async(len, "")
        with pytest.raises(ChannelClosed, match="silent for 1 s"):
            pending.result(SECONDS)
    assert not is_alive(pid)


def _has_stopped(pid: int) -> bool:
    return all(path.read_text().rpartition(") ")[2][0] == "T" for path in Path(f"/proc/{pid}/task").glob("*/stat"))


@pytest.mark.sshd
def test_silence_of_the_network_ends_a_channel_over_ssh(ssh_server: Sshd) -> None:
    """D125. On both sides, each by its own clock: no word of the end gets through."""
    defaults = ChannelSettings()
    assert defaults.ping_interval + defaults.ping_timeout <= 150
    settings = ChannelSettings(ping_interval=0.2, ping_timeout=1.5, close_timeout=0.2)
    with socket.create_server(("127.0.0.1", 0)) as relay:
        passes = threading.Event()
        passes.set()
        threading.Thread(target=_relay, args=(relay, ssh_server.port, passes), daemon=True).start()
        reached = ssh_server.node((sys.executable,))
        reached = type(reached)(**{**vars(reached), "port": relay.getsockname()[1]})
        channel = connect_ssh(reached, name="silent", settings=settings)
        agent = channel.call(os.getpid)
        passes.clear()
        pending = channel.call_async(len, "")
        with pytest.raises(ChannelClosed, match="silent for"):
            pending.result(SECONDS)
        wait_until(lambda: not is_alive(agent), what="the end of the agent")
        channel.close()
        wait_until(lambda: not _threads_of("silent"), what="the end of the threads")
        passes.set()


def _threads_of(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.endswith(f" of {name}")]


def _relay(server: socket.socket, port: int, passes: threading.Event) -> None:
    """Passes bytes on in both directions while it is allowed to."""
    near, _ = server.accept()
    far = socket.create_connection(("127.0.0.1", port))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                passes.wait()
                sink.sendall(data)
        except OSError:
            pass
        finally:
            passes.wait()
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    threads = [threading.Thread(target=pump, args=ends, daemon=True) for ends in ((near, far), (far, near))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    near.close()
    far.close()


@pytest.mark.parametrize("kind", ["local", "subprocess", SSH])
def test_a_trace_has_the_headers_of_all_frames_and_is_closed_with_its_channel(
    kind: str, open_kind: Callable[[str], Channel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZUUL_REMOTING_TRACE", str(tmp_path / "trace"))
    with open_kind(kind) as channel:
        monkeypatch.delenv("ZUUL_REMOTING_TRACE")
        assert channel.call(len, "secret") == 6
        trace = tmp_path / "trace"
        assert trace in [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert trace not in [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    text = trace.read_text()
    for way, frame in ((">", "CALL"), ("<", "RESULT"), (">", "CLOSE"), ("<", "CLOSE")):
        assert re.search(rf"^\d+\.\d+ {channel.name} {way} {frame} \d+ \d+ \d+$", text, re.MULTILINE)
    assert "secret" not in text


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_cannot_use_the_channel_of_its_parent() -> None:
    with LocalChannel("parent") as channel:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                channel.call(len, "")
            except ChannelForked as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        assert b"belongs to the parent" in os.read(reading, 1000)
        os.close(reading)
        os.waitpid(child, 0)
        assert channel.call(len, "abc") == 3
