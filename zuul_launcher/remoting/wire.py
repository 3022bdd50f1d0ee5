"""Frames between two sides: who may write when, and who notices silence. Runs on the node too.

1. User threads write themselves, one message after another; a long message lets others in after each few frames.
2. The reader never writes: two sides that both wait for the other to read would wait forever. What it has to say, and
   all that is urgent, is written by whoever writes next, or by the writer thread.
3. Any frame is a sign of life.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from zuul_launcher.remoting import frames
from zuul_launcher.remoting.errors import PingTimeout, ProtocolError
from zuul_launcher.remoting.frames import Assembler, Frame, FrameParser
from zuul_launcher.remoting.settings import ChannelSettings
from zuul_launcher.remoting.transport import Transport

TRACE = "ZUUL_REMOTING_TRACE"
_TOGETHER = 4  # frames in one system call
_TICK = 1.0
_SHORT = 1 << 10  # bytes that are cheaper copied than written in two parts; any frame may be that long


class Wire:
    """One connection. `receive` gets each whole message on the reader thread, `lost` the cause of the end, once."""

    def __init__(
        self,
        transport: Transport,
        name: str,
        settings: ChannelSettings,
        sizes: tuple[int, int],
        receive: Callable[[Frame], None],
        lost: Callable[[BaseException], None],
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._max_in, self.max_frame = sizes
        self._receive = receive
        self._lost = lost
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._urgent: deque[bytes] = deque()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._last = time.monotonic()
        self._trace = _Trace(name, os.environ[TRACE]) if TRACE in os.environ else None
        self.awaits: Callable[[int], bool] = lambda number: True  # whether an answer of this number is waited for
        self.tick: Callable[[], object] = lambda: None  # called each second, and before each message of a user thread
        self.counts = {"frames in": 0, "bytes in": 0, "frames out": 0, "bytes out": 0}
        self.threads = [
            threading.Thread(target=target, name=f"{role} of {name}", daemon=True)
            for target, role in ((self._read, "reader"), (self._write, "writer"), (self._watch, "watch"))
        ]
        self._received = b""

    def start(self, received: bytes) -> None:
        """Begin with what came after the handshake."""
        self._received = received
        for thread in self.threads:
            thread.start()

    def send(self, kind: int, request: int, body: bytes | memoryview) -> None:
        """Write a message from a user thread. Errors of the transport go to `lost`, not to the caller."""
        if len(body) <= _SHORT:
            self._emit([frames.HEADER.pack(len(body), request, kind, 0) + body])
            return
        batch: list[bytes | memoryview] = []
        for header, part in frames.split(kind, request, body, self.max_frame):
            batch += (header, part)
            if len(batch) == 2 * _TOGETHER:
                self._emit(batch)
                batch = []
        if batch:
            self._emit(batch)

    def send_data(self, prefix: bytes, data: memoryview) -> None:
        """Write data of a pipe, each frame with this prefix before its part."""
        batch: list[bytes | memoryview] = []
        size = self.max_frame - len(prefix)
        for at in range(0, len(data), size):
            part = data[at : at + size]
            batch += (frames.HEADER.pack(len(prefix) + len(part), 0, frames.PIPE_DATA, 0) + prefix, part)
            if len(batch) == 2 * _TOGETHER:
                self._emit(batch)
                batch = []
        if batch:
            self._emit(batch)

    def _emit(self, batch: list[bytes | memoryview]) -> None:
        # Who waits holds the turn, so that a thread with much to write cannot come first again and again.
        with self._turn:
            self._lock.acquire()
        try:
            if self._urgent:
                batch = [*self._take_urgent(), *batch]
            if batch and not self._ended.is_set():
                self._put(batch)
        finally:
            self._lock.release()

    def _take_urgent(self) -> list[bytes]:
        taken: list[bytes] = []
        while self._urgent and len(taken) < 64:
            taken.append(self._urgent.popleft())
        return taken

    def _put(self, batch: list[bytes | memoryview]) -> None:
        if self._trace:
            self._trace.note_sent(batch)
        self.counts["frames out"] += 1
        self.counts["bytes out"] += sum(map(len, batch))
        try:
            self._transport.write(batch)
        except (OSError, ValueError) as error:
            self._fail(EOFError(f"it does not take data any more ({error})"))

    def post(self, kind: int, request: int, body: bytes = b"") -> None:
        """Say something urgent from any thread, also the reader: it does not block."""
        for header, part in frames.split(kind, request, body, self.max_frame):
            self._urgent.append(header + part)
        self._wake.set()

    def _write(self) -> None:
        while not self._ended.is_set():
            self._wake.wait()
            self._wake.clear()
            while self._urgent and not self._ended.is_set():
                self._emit([])

    def _read(self) -> None:
        parser = FrameParser(self._max_in, self._received)
        assembler = Assembler(self._settings.max_message, self.awaits)
        count = 0
        try:
            while True:
                for frame in parser.frames(count):
                    if self._trace:
                        self._trace.note("<", frame.kind, frame.request, len(frame.body), frame.flags)
                    message = assembler.add(frame)
                    self.counts["frames in"] += 1
                    self.counts["bytes in"] += len(frame.body)
                    if message is not None:
                        self._receive(message)
                count = self._transport.read_into(parser.space())
                self._last = time.monotonic()
                if not count:
                    raise EOFError("it ended without saying goodbye")
        except BaseException as error:  # the reader's top: whatever it is, the channel has ended
            self._fail(error)

    def _watch(self) -> None:
        pinged = self._last
        while not self._ended.wait(min(_TICK, self._settings.ping_interval / 4)):
            self.tick()
            silent = time.monotonic() - self._last
            if silent >= self._settings.ping_timeout:
                self._fail(PingTimeout(f"silent for {silent:.0f} s"))
            elif silent >= self._settings.ping_interval and time.monotonic() - pinged >= self._settings.ping_interval:
                pinged = time.monotonic()
                self.post(frames.PING, 0)

    def _fail(self, cause: BaseException) -> None:
        if isinstance(cause, (OSError, ValueError)) and not isinstance(cause, (ProtocolError, PingTimeout)):
            cause = EOFError(f"the connection broke ({cause})")
        self._lost(cause)

    def end(self) -> None:
        """Write no more, and let writer and watch go. The reader goes when the transport is closed."""
        self._ended.set()
        self._wake.set()

    def release(self) -> None:
        """After the threads have ended: give back what the transport and the trace hold."""
        with self._lock:
            self._transport.release()
            if self._trace:
                self._trace.close()

    def join(self, seconds: float) -> bool:
        """Wait for the threads; false: they are still there after so many seconds."""
        end = time.monotonic() + seconds
        for thread in self.threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self.threads if thread is not threading.current_thread())


class _Trace:
    """Headers of frames, without bodies, in a file: for who looks for a fault."""

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._file = Path(path).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - as long as the channel

    def note(self, way: str, kind: int, request: int, length: int, flags: int) -> None:
        name = frames.NAMES[kind] if kind < len(frames.NAMES) else str(kind)
        self._file.write(f"{time.time():.6f} {self._name} {way} {name} {request} {length} {flags}\n")

    def close(self) -> None:
        self._file.close()

    def note_sent(self, batch: list[bytes | memoryview]) -> None:
        """Whatever parts the frames come in."""
        data = memoryview(b"".join(batch))
        while data:
            length, request, kind, flags = frames.HEADER.unpack_from(data)
            self.note(">", kind, request, length, flags)
            data = data[frames.HEADER_SIZE + length :]
