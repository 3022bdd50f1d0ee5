"""One SSH connection to Gerrit for commands, opened when needed and kept. For one thread: every thread has its own.

Whatever Gerrit does, `run` ends at its deadline: a timer closes the connection then, which ends every wait in it.
Host keys are checked against known_hosts or a pinned key (`hostkeys`); an unknown one is refused.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

from zuul_launcher.errors import RemoteRefused, RemoteUnavailable
from zuul_launcher.gerrit import hostkeys
from zuul_launcher.settings import GerritConnection

CONNECT_DEADLINE = 30.0  # seconds for each of connecting, key exchange and login
COMMAND_DEADLINE = 120.0  # seconds; a submit of a large stack takes Gerrit tens of them
LARGEST_ANSWER = 64 * 1024 * 1024  # bytes
LARGEST_COMPLAINT = 64 * 1024  # bytes of stderr that are read

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """What a command printed, and its exit status."""

    stdout: bytes
    stderr: str
    status: int


class Commands:
    """Runs commands on one Gerrit, over one connection."""

    def __init__(
        self, settings: GerritConnection, *, deadline: float = COMMAND_DEADLINE, connecting: float = CONNECT_DEADLINE
    ) -> None:
        """`deadline`: seconds for a command; `connecting`: for each step of opening the connection."""
        self._settings = settings
        self._deadline = deadline
        self._connecting = connecting
        self._client: paramiko.SSHClient | None = None

    def run(self, command: str, deadline: float | None = None) -> Finished:
        """Runs one command. `deadline`: seconds for all of it, connecting not counted.

        Raises RemoteUnavailable (whether the command did its work is then not known), ConnectionRefused, and
        RemoteRefused for an answer that is too large.
        """
        seconds = self._deadline if deadline is None else deadline
        channel = self._channel(seconds)
        transport = channel.get_transport()
        try:
            with closed_after(seconds, transport.close) as is_late, channel:
                return _finish(channel, command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            why = f"no answer within {seconds:g} s" if is_late() else str(error) or type(error).__name__
            raise RemoteUnavailable(f"{self._name}: {command.partition(' --')[0]}: {why}") from None
        except RemoteRefused:
            self.close()
            raise

    def close(self) -> None:
        if self._client:
            self._client.close()
            self._client = None

    @property
    def _name(self) -> str:
        return f"Gerrit {self._settings.user}@{self._settings.server}:{self._settings.port}"

    def _channel(self, seconds: float) -> paramiko.Channel:
        """A channel on the connection; if the one at hand can not give any, once on a new one."""
        if self._client:
            transport = self._client.get_transport()
            try:
                if transport and transport.is_active():
                    return transport.open_session(timeout=min(seconds, self._connecting))
            except (paramiko.SSHException, OSError, EOFError) as error:
                log.info("%s: connecting again: %s", self._name, error)
            self.close()
        self._client = paramiko.SSHClient()
        transport = log_in(self._client, self._settings, self._connecting)
        try:
            return transport.open_session(timeout=min(seconds, self._connecting))
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise RemoteUnavailable(f"{self._name}: {error}") from None


def log_in(
    client: paramiko.SSHClient, settings: GerritConnection, deadline: float = CONNECT_DEADLINE
) -> paramiko.Transport:
    """Connects a new client. Closing it from another thread ends this early.

    Raises RemoteUnavailable; ConnectionRefused: a key is wrong. The client is closed then.
    """
    name = f"Gerrit {settings.user}@{settings.server}:{settings.port}"
    policy = _KnownOnly(settings)
    client.set_missing_host_key_policy(policy)
    try:
        with closed_after(3 * deadline, client.close):
            client.connect(
                settings.server,
                settings.port,
                settings.user,
                pkey=_key(settings.sshkey) if settings.sshkey else None,
                look_for_keys=settings.sshkey is None,
                allow_agent=settings.sshkey is None,
                timeout=deadline,
                banner_timeout=deadline,
                auth_timeout=deadline,
                channel_timeout=deadline,
                transport_factory=policy.transport,  # type: ignore[arg-type]  # the stubs are of paramiko 3
            )
        transport = client.get_transport()
        if not transport:
            raise EOFError("the connection was closed")
        transport.set_keepalive(settings.keepalive)
        return transport
    except RemoteRefused:
        client.close()
        raise
    except (paramiko.AuthenticationException, paramiko.PasswordRequiredException) as error:
        client.close()
        raise hostkeys.ConnectionRefused(f"{name}: login refused: {error}") from None
    except (paramiko.SSHException, OSError, EOFError, AttributeError) as error:
        # AttributeError: paramiko's, when the client is closed while it logs in.
        client.close()
        raise RemoteUnavailable(f"{name}: {str(error) or type(error).__name__}") from None


def _key(path: Path) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(path)
    except (paramiko.SSHException, OSError, ValueError, TypeError) as error:  # TypeError: it has a passphrase
        raise hostkeys.ConnectionRefused(f"the SSH key {path} can not be used: {error}") from None


class _KnownOnly(paramiko.MissingHostKeyPolicy):
    """Paramiko is given no host keys, so that it asks here about every one."""

    def __init__(self, settings: GerritConnection) -> None:
        self._settings = settings
        if settings.host_key:
            self._known = [hostkeys.pinned(settings.host_key)]
            self._where = "`host_key` of zuul.conf"
        else:
            paths = [settings.known_hosts, hostkeys.SYSTEM_FILE]
            self._known = hostkeys.read(paths, settings.server, settings.port)
            self._where = str(settings.known_hosts)

    def transport(
        self, sock: socket.socket, *, disabled_algorithms: Mapping[str, Iterable[str]] | None = None
    ) -> paramiko.Transport:
        """A connection that asks for the kinds of host key first that are known, and does without weak ciphers."""
        transport = paramiko.Transport(sock, disabled_algorithms=disabled_algorithms)
        security = transport.get_security_options()
        kinds = {each.kind for each in self._known}
        if "ssh-rsa" in kinds:  # the name of the key; signatures have others
            kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
        security.key_types = sorted(security.key_types, key=lambda kind: kind not in kinds)
        security.ciphers = [cipher for cipher in security.ciphers if not cipher.endswith("cbc")]
        security.digests = [digest for digest in security.digests if "sha2" in digest]
        return transport

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        settings = self._settings
        hostkeys.check(self._known, settings.server, settings.port, key.get_name(), key.asbytes(), self._where)


@contextmanager
def closed_after(seconds: float, close: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Calls `close` if the block takes longer; yields whether that happened."""
    late = threading.Event()

    def end() -> None:
        late.set()
        close()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late.is_set
    finally:
        timer.cancel()


def _finish(channel: paramiko.Channel, command: str) -> Finished:
    try:
        # No command here reads its input, so nobody is told of its end: after a quick command that can arrive when the
        # channel is gone already, and Gerrit ends the whole connection then.
        channel.exec_command(command)
    except (paramiko.SSHException, OSError):
        # A quick command may have ended before its server confirms that it began; a status says that it ran.
        if channel.exit_status < 0:
            raise
    stdout = _read(channel.recv, LARGEST_ANSWER)
    if len(stdout) > LARGEST_ANSWER:
        raise RemoteRefused(f"{command[:100]}: the answer is larger than {LARGEST_ANSWER} bytes")
    stderr = _read(channel.recv_stderr, LARGEST_COMPLAINT)
    status = channel.recv_exit_status()
    if status < 0:
        raise EOFError("the connection was closed before the command ended")
    return Finished(stdout, stderr.decode("utf-8", "replace"), status)


def _read(receive: Callable[[int], bytes], limit: int) -> bytes:
    """Reads to the end, or until there is more than the limit."""
    parts, size = [], 0
    while size <= limit and (part := receive(65536)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)
