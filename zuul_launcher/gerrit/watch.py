"""Watches the events of one Gerrit: `gerrit stream-events`, line by line, for ever.

1. Lines are handed over as they are, in order; several may come in one read, one may come in many.
2. A connection that is silent is asked for a sign of life (an SSH request that wants a reply); none in time = lost.
3. A lost connection is made again after growing pauses with jitter. What happened meanwhile is for `catchup`.
4. A line over the limit can not be trusted to end: the connection is dropped and made again.
"""

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

import paramiko

from zuul_launcher.errors import RemoteError
from zuul_launcher.gerrit.ssh import closed_after, log_in
from zuul_launcher.settings import GerritConnection

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """Seconds and bytes that tests shorten."""

    connecting: float = 30.0  # each of connecting, key exchange, login, and starting the command
    silence: float = 60.0  # without a line, until a sign of life is asked for; a `keepalive` of the settings wins
    reply: float = 30.0  # for that sign
    first_pause: float = 1.0  # before connecting again; doubled each time
    last_pause: float = 30.0
    longest_line: int = 8 * 1024 * 1024


class StreamLost(RemoteError):
    """The event stream ended; the text says why."""


class Watch:
    """Runs in the thread that calls `run`, until `stop` is called from any thread."""

    def __init__(
        self,
        settings: GerritConnection,
        receive: Callable[[bytes], None],
        on_state: Callable[[str], None],
        *,
        clock: Callable[[], float],
        pace: Pace = Pace(),
    ) -> None:
        """`receive` gets each line, without its end; what it raises ends `run`.

        `on_state` gets "connected" when events are being watched, and "lost: WHY" once whenever they no longer are or
        the reason changes. `clock`: seconds.
        """
        self._settings = settings
        self._receive = receive
        self._on_state = on_state
        self._clock = clock
        self._pace = pace
        self._state = ""
        self._stop = threading.Event()
        self._client: paramiko.SSHClient | None = None

    def stop(self) -> None:
        """Ends `run` promptly, whatever it waits for."""
        self._stop.set()
        if client := self._client:
            client.close()

    def run(self) -> None:
        pause = self._pace.first_pause
        while not self._stop.is_set():
            began = self._clock()
            try:
                self._watch()
            except (RemoteError, paramiko.SSHException, OSError, EOFError) as error:
                if self._stop.is_set():
                    return
                self._tell(f"lost: {str(error) or type(error).__name__}")
            finally:
                self._close()
            if self._clock() - began > 2 * self._pace.last_pause:
                pause = self._pace.first_pause
            self._stop.wait(pause * random.uniform(0.75, 1.25))  # noqa: S311 -- not a secret
            pause = min(2 * pause, self._pace.last_pause)

    def _tell(self, state: str) -> None:
        if state != self._state:
            self._state = state
            log.log(
                logging.INFO if state == "connected" else logging.WARNING, "Gerrit %s: %s", self._settings.name, state
            )
            self._on_state(state)

    def _close(self) -> None:
        if self._client:
            self._client.close()
            self._client = None

    def _watch(self) -> None:
        """One connection, to its end. Raises StreamLost and what paramiko does."""
        self._client = client = paramiko.SSHClient()
        transport = log_in(client, self._settings, self._pace.connecting)
        with closed_after(self._pace.connecting, transport.close):
            channel = transport.open_session(timeout=self._pace.connecting)
            channel.exec_command("gerrit stream-events")
        channel.settimeout(self._settings.keepalive or self._pace.silence)
        lines = Lines(self._pace.longest_line)
        self._tell("connected")
        while not self._stop.is_set():
            try:
                data = channel.recv(65536)
            except TimeoutError:
                self._ask_for_a_sign(transport)
                continue
            if not data:
                raise StreamLost(_last_words(channel))
            for line in lines.feed(data):
                if self._stop.is_set():
                    return
                self._receive(line)

    def _ask_for_a_sign(self, transport: paramiko.Transport) -> None:
        with closed_after(self._pace.reply, transport.close) as is_late:
            transport.global_request("keepalive@openssh.com", wait=True)  # any reply will do, also a refusal
        if is_late() or not transport.is_active():
            raise StreamLost("Gerrit does not answer any more")


class Lines:
    """Cuts a stream of bytes into lines. Blank ones are left out."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._parts: list[bytes] = []  # of the line that has not ended yet
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete. Raises StreamLost for a line that is too long."""
        *ended, rest = data.split(b"\n")
        lines = []
        for piece in ended:
            lines.append(b"".join([*self._parts, piece]))
            self._parts, self._size = [], 0
        self._parts.append(rest)
        self._size += len(rest)
        if self._size > self._longest:
            raise StreamLost(f"a line has more than {self._longest} bytes")
        return [line for line in lines if line.strip()]


def _last_words(channel: paramiko.Channel) -> str:
    """What Gerrit said when it ended the stream: it may not be permitted."""
    said = channel.recv_stderr(1000) if channel.recv_stderr_ready() else b""
    return said.decode("utf-8", "replace").strip() or "the stream has ended"
