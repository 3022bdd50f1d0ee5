"""Agents on other machines, over SSH. Controller only: it needs paramiko.

One connection, one SSH channel without a terminal; what else is multiplexed is in our own frames. The host key must be
known or pinned; keys or an SSH agent, no passwords. stderr has a thread of its own: the library stops the whole
channel when one of the two streams is full and nobody reads it.

A shell waits there for the agent and passes its status on: servers tell of a signal in a way that the library skips.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko

from zuul_launcher.remoting.bootstrap import open_channel, payload
from zuul_launcher.remoting.channel import Channel
from zuul_launcher.remoting.errors import HandshakeFailed
from zuul_launcher.remoting.hostkeys import OF_THE_USER, changed, trust
from zuul_launcher.remoting.process import LastLines, check_words
from zuul_launcher.remoting.settings import ChannelSettings

KEEP_ALIVE = 30
_WINDOW = 8 << 20
_ATTENDED = ("sh", "-c", '"$@"; exit $?', "sh")
_BARE = ("-I", "-S", "-u", "-c")
_LATE = 0.5  # seconds for what the agent wrote before it ended
_SIGNALLED = 128  # a shell adds it to the number of the signal


@dataclass(frozen=True)
class SshNode:
    """Where and how to connect."""

    host: str
    user: str
    port: int = 22
    key: Path | None = None  # a private key; None: what the SSH agent has
    known_hosts: Path | None = None  # None: that of the user who runs this process
    host_key: str = ""  # "ssh-ed25519 AAAA...": pinned instead of known_hosts
    python: Sequence[str] = ("python3",)
    connect_timeout: float = 30.0


def connect_ssh(node: SshNode, *, name: str = "", settings: ChannelSettings | None = None) -> Channel:
    """Start an agent there and open a channel to it.

    HandshakeFailed: not reached, login refused, or no agent answered; it says which. HostKeyRefused: the host key is
    unknown or another one; it has the line of known_hosts.
    """
    check_words(node.python)
    settings = settings or ChannelSettings()
    name = name or f"{node.user}@{node.host}"
    stub, data = payload(name, settings)
    client = paramiko.SSHClient()
    try:
        _connect(client, node)
        connection = client.get_transport()
        assert connection is not None
        connection.set_keepalive(KEEP_ALIVE)
        session = connection.open_session(window_size=_WINDOW, timeout=node.connect_timeout)
        session.exec_command(shlex.join([*_ATTENDED, *node.python, *_BARE, stub]))
    except HandshakeFailed as error:
        client.close()
        raise type(error)(f"{name}: {error}") from error.__cause__
    except (paramiko.SSHException, OSError, EOFError) as error:
        client.close()
        place = f"port {node.port} of {node.host}"
        raise HandshakeFailed(f"{name}: no SSH connection to {place}: {_reason(error)}") from error
    return open_channel(SshTransport(client, session, name), name, settings, data)


def _reason(error: Exception) -> str:
    """What helps who reads it: some texts of the library do not."""
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        return "; ".join(sorted({str(each) for each in error.errors.values()}))
    if str(error) == "No authentication methods available":
        return "there is no key to log in with: none was given, and no SSH agent has one"
    if type(error) is paramiko.AuthenticationException:
        return f"{error} The node does not take the key, or does not know the user"
    if isinstance(error, paramiko.PasswordRequiredException):
        return f"{error}: only an SSH agent can use it"
    return str(error)


def _connect(client: paramiko.SSHClient, node: SshNode) -> None:
    trust(client, node.host, node.port, node.host_key, node.known_hosts)
    try:
        client.connect(
            node.host,
            node.port,
            node.user,
            key_filename=None if node.key is None else str(node.key),
            allow_agent=node.key is None,
            look_for_keys=False,
            timeout=node.connect_timeout,
            banner_timeout=node.connect_timeout,
            auth_timeout=node.connect_timeout,
        )
    except paramiko.BadHostKeyException as error:
        place = "host_key" if node.host_key else str(node.known_hosts or OF_THE_USER)
        raise changed(error, node.port, place) from None


class SshTransport:
    """The streams of one command on the other machine."""

    def __init__(self, client: paramiko.SSHClient, session: paramiko.Channel, name: str) -> None:
        self._client = client
        self._session = session
        self._lines = LastLines(name)
        self._drain = threading.Thread(target=self._read_errors, name=f"stderr of {name}", daemon=True)
        self._drain.start()
        self._end = threading.Thread(target=self._end_streams, name=f"status of {name}", daemon=True)
        self._end.start()

    def _end_streams(self) -> None:
        """With the agent, even if a process that it left behind holds them."""
        self._session.status_event.wait()
        self._drain.join(_LATE)
        self._close_session()

    def read_into(self, space: memoryview) -> int:
        data = self._session.recv(len(space))
        space[: len(data)] = data
        return len(data)

    def write(self, parts: Sequence[bytes | memoryview]) -> None:
        for part in parts if len(parts) < 3 else (b"".join(parts),):
            self._session.sendall(part)  # type: ignore[arg-type] # it takes any buffer

    def _read_errors(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := self._session.recv_stderr(1 << 15):
                self._lines.add(data)
        self._lines.end()

    def outcome(self, seconds: float) -> str:
        ended = self._session.status_event.wait(seconds)
        status = self._session.exit_status
        how = _status_text(status) if ended and status >= 0 else ""
        if how:
            self._drain.join(seconds)
        words = f"its last words: {self._lines}" if str(self._lines) else ""
        return "; ".join(part for part in (how, words) if part)

    def close(self, patience: float) -> None:
        self._session.status_event.wait(patience)
        self._close_session()
        self._client.close()
        for thread in (self._drain, self._end):
            thread.join(patience or 1.0)

    def _close_session(self) -> None:
        with contextlib.suppress(OSError, EOFError):  # the connection has ended first
            self._session.close()

    def release(self) -> None:
        """The library gives back what it holds itself."""


def _status_text(status: int) -> str:
    try:
        return f"exit status {status} ({signal.Signals(status - _SIGNALLED).name})"
    except ValueError:
        return f"exit status {status}"
