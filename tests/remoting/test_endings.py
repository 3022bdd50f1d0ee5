"""How channels end, and what is left of them: on this machine, real processes and a real sshd."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
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
)
from zuul_launcher.remoting.errors import ChannelClosed, ChannelForked, HandshakeFailed

SECONDS = 60
ROOT = Path(__file__).parent.parent.parent
CONTROLLER = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}]
from support import remote_code
from zuul_launcher.remoting import connect_subprocess
channel = connect_subprocess([sys.executable])
channel.allow("support.remote_code")
print(channel.call(remote_code.pid), channel.call(remote_code.run_child, 600), flush=True)
time.sleep(600)
"""


def threads_of(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.endswith(f" of {name}")]


def test_a_killed_agent_fails_all_pending_calls_with_signal_and_last_words(fresh: Channel) -> None:
    pid = fresh.call(remote_code.pid)
    fresh.call(remote_code.say, "words before the end")
    futures: list[RemoteFuture] = [fresh.call_async(remote_code.read_all, Pipe.to_remote()) for _ in range(50)]
    causes: list[BaseException] = []
    fresh.on_close(causes.append)
    pipe = Pipe.to_local()
    os.kill(pid, signal.SIGKILL)
    for future in futures:
        with pytest.raises(
            ChannelClosed, match=r"channel fresh: .*killed by SIGKILL; its last words: words before the end"
        ):
            future.result(SECONDS)
    with pytest.raises(ChannelClosed, match="SIGKILL"):
        fresh.call_async(remote_code.write_zeros, pipe, 1)
    assert fresh.wait_closed(SECONDS)
    assert len(causes) == 1
    fresh.on_close(causes.append)
    assert len(causes) == 2


def test_a_reader_never_sees_a_clean_end_when_the_writer_dies(fresh: Channel) -> None:
    pipe = Pipe.to_local()
    fresh.call_async(lambda to: (to.writer.write(b"some"), os.kill(os.getpid(), 9)), pipe)
    with pytest.raises(ChannelClosed):
        pipe.reader.read()


@pytest.mark.parametrize("kind", ["local", "subprocess", pytest.param("ssh", marks=pytest.mark.sshd)])
def test_after_close_nothing_is_left_and_calls_fail_at_once(
    kind: str, open_kind: Callable[[str], Channel], request: pytest.FixtureRequest
) -> None:
    if kind == "ssh":
        request.getfixturevalue("ssh_server")
    threads_before = set(threading.enumerate())
    channel = open_kind(kind)
    pid = channel.call(remote_code.pid)
    pending = channel.call_async(remote_code.read_all, Pipe.to_remote())
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    channel.close()
    channel.close()
    assert not channel.is_open
    with pytest.raises(ChannelClosed, match="closed by this side"):
        channel.call(len, "")
    with pytest.raises(ChannelClosed, match="closed by this side"):
        pending.result(SECONDS)
    wait_until(lambda: set(threading.enumerate()) <= threads_before, what="the end of the threads")
    if kind != "local":
        wait_until(lambda: not is_alive(pid), what="the end of the agent")
        assert len(list(Path("/proc/self/fd").iterdir())) < open_before


def test_a_killed_controller_leaves_no_agent_and_no_process_of_it() -> None:
    script = CONTROLLER.format(root=str(ROOT), tests=str(ROOT / "tests"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout is not None
        agent, child = (int(number) for number in controller.stdout.readline().split())
        assert is_alive(agent)
        assert is_alive(child)
        controller.send_signal(signal.SIGKILL)
        wait_until(lambda: not is_alive(agent), what="the end of the agent")
        wait_until(lambda: not is_alive(child), what="the end of its child")


def test_a_terminated_agent_cleans_up(fresh: Channel) -> None:
    child = fresh.call(remote_code.run_child, 600)
    os.kill(fresh.call(remote_code.pid), signal.SIGTERM)
    wait_until(lambda: not is_alive(child), what="the end of the child")
    assert fresh.wait_closed(SECONDS)
    with pytest.raises(ChannelClosed, match="exit status 143"):
        fresh.call(len, "")


def test_a_stopped_agent_is_found_by_its_silence() -> None:
    settings = ChannelSettings(ping_interval=0.1, ping_timeout=1.0, close_timeout=0.2)
    with connect_subprocess([sys.executable], name="stopped", settings=settings) as channel:
        pid = channel.call(os.getpid)
        future = channel.call_async(len, "")
        assert future.result(SECONDS) == 0
        os.kill(pid, signal.SIGSTOP)
        pending = channel.call_async(len, "")
        with pytest.raises(ChannelClosed, match="silent for 1 s"):
            pending.result(SECONDS)
    assert not is_alive(pid)


@pytest.mark.sshd
def test_silence_of_the_network_ends_a_channel_over_ssh(ssh_server: Sshd) -> None:
    settings = ChannelSettings(ping_interval=0.2, ping_timeout=1.5, close_timeout=0.2)
    with socket.create_server(("127.0.0.1", 0)) as relay:
        passes = threading.Event()
        passes.set()
        threading.Thread(target=_relay, args=(relay, ssh_server.port, passes), daemon=True).start()
        node = ssh_server.node((sys.executable,))
        node = type(node)(**{**vars(node), "port": relay.getsockname()[1]})
        channel = connect_ssh(node, name="silent", settings=settings)
        assert channel.call(len, "abc") == 3
        passes.clear()
        pending = channel.call_async(len, "")
        with pytest.raises(ChannelClosed, match="silent for"):
            pending.result(SECONDS)
        channel.close()
        wait_until(lambda: not threads_of("silent"), what="the end of the threads")
        passes.set()


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


@pytest.mark.sshd
def test_an_unknown_host_key_is_refused(ssh_server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("")
    node = ssh_server.node((sys.executable,), host_key="", known_hosts=known)
    with pytest.raises(HandshakeFailed, match="not found in known_hosts"):
        connect_ssh(node)
    assert known.read_text() == ""
    other = ssh_server.key.with_suffix(".pub").read_text()
    with pytest.raises(HandshakeFailed, match="does not match"):
        connect_ssh(ssh_server.node((sys.executable,), host_key=other))


@pytest.mark.sshd
def test_a_known_host_key_is_accepted(ssh_server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{ssh_server.port} {ssh_server.host_key}\n")
    with connect_ssh(ssh_server.node((sys.executable,), host_key="", known_hosts=known)) as channel:
        assert channel.call(len, "abc") == 3


@pytest.mark.sshd
def test_a_node_without_python_says_so(ssh_server: Sshd) -> None:
    with pytest.raises(HandshakeFailed, match=r"(?s)exit status 127; its last words: .*python-of-nobody"):
        connect_ssh(ssh_server.node(("python-of-nobody",)))


def test_a_command_that_is_not_there_cannot_be_run() -> None:
    with pytest.raises(FileNotFoundError):
        connect_subprocess(["/no/such/python"])


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
