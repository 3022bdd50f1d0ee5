"""Submits jobs and asks a Gearman server about them; all answers come as calls back, on the link's thread.

Rules
1. Whoever submits gets exactly one last word for each job: COMPLETE, FAIL, EXCEPTION, REFUSED or LOST (the connection
   broke: nobody will tell on this one how it went). A job that was cancelled on the server may still speak after FAIL
   (gearmand).
2. Callbacks translate and put; they never wait.
3. The client says `connected` only when the server has told which kind it is and what functions it knows.

The servers differ where a client comes back (worker-and-remoting A3, parts §1):

=========== ========================================================= ==========================================
kind        a second submission of a known function and unique        jobs of a client that left
=========== ========================================================= ==========================================
OURS        joins the job, data and result are told again             kept for a grace time
JOINING     joins the job (gearmand)                                  queued: never run; running: run on
SIMPLE      is another job (gear.Server, which has no `version`)      forgotten
=========== ========================================================= ==========================================
"""

import enum
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gear import constants

from zuul_launcher.gearman.link import DELAYS, Link, log
from zuul_launcher.gearman.wire import encode
from zuul_launcher.model.layout import Precedence

ANSWER_SECONDS = 60.0  # for JOB_CREATED, STATUS_RES and admin answers

_SUBMIT = {
    "high": constants.SUBMIT_JOB_HIGH,
    "normal": constants.SUBMIT_JOB,
    "low": constants.SUBMIT_JOB_LOW,
}
GET_STATUS_UNIQUE, STATUS_RES_UNIQUE = 41, 42  # gear has no names for these


class ServerKind(enum.Enum):
    OURS = "ours"
    JOINING = "joining"
    SIMPLE = "simple"


class Kind(enum.Enum):
    """What is said about a job."""

    CREATED = "created"  # data is the handle
    DATA = "data"
    WARNING = "warning"
    STATUS = "status"
    COMPLETE = "complete"
    FAIL = "fail"
    EXCEPTION = "exception"
    REFUSED = "refused"  # data is the server's text
    LOST = "lost"


LAST_WORDS = frozenset({Kind.COMPLETE, Kind.FAIL, Kind.EXCEPTION, Kind.REFUSED, Kind.LOST})
_KINDS = {
    constants.WORK_DATA: Kind.DATA,
    constants.WORK_WARNING: Kind.WARNING,
    constants.WORK_STATUS: Kind.STATUS,
    constants.WORK_COMPLETE: Kind.COMPLETE,
    constants.WORK_FAIL: Kind.FAIL,
    constants.WORK_EXCEPTION: Kind.EXCEPTION,
}


@dataclass(frozen=True, slots=True)
class Word:
    """One thing that the server said about a job."""

    kind: Kind
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Answer to GET_STATUS. `known` and not `running`: it is queued, or (OURS) its result is kept."""

    known: bool
    running: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """A foreground job. Without a unique it ends, on every server, with the connection if it is still queued then."""

    function: str
    payload: bytes
    unique: str = ""
    precedence: Precedence = "normal"


Receive = Callable[[Word], None]
ReceiveStatus = Callable[[JobStatus | None], None]  # None: the connection broke
ReceiveLines = Callable[[list[str] | None], None]  # None: the connection broke


def encode_handle(handle: str) -> bytes:
    return handle.encode("latin-1", "replace")


class Client(Link):
    """One connection to one server, for any number of jobs. Every public method may be called from any thread."""

    def __init__(
        self,
        server: str,
        port: int = 4730,
        *,
        name: str = "Zuul Launcher",
        delays: Sequence[float] = DELAYS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        super().__init__(server, port, name=name, delays=delays)
        self.kind = ServerKind.SIMPLE
        self.connected = False
        self.connected_at = 0.0  # monotonic seconds
        self.functions: dict[str, int] = {}  # name -> workers, of the latest answer; replaced, never changed
        self.functions_at = 0.0  # monotonic seconds
        self._answer_seconds = answer_seconds
        self._subscribers: list[Callable[[bool], None]] = []
        self._submitted: deque[tuple[float, Receive]] = deque()  # JOB_CREATED missing, in order
        self._jobs: dict[bytes, Receive] = {}
        self._cancelled: set[bytes] = set()
        self._asked: deque[tuple[float, bytes, ReceiveStatus]] = deque()
        self._admin: deque[tuple[float, bool, ReceiveLines]] = deque()  # with: has it several lines?
        self._lines: list[str] = []

    def subscribe(self, tell: Callable[[bool], None]) -> None:
        """Before start: `tell(True)` when there is a connection, `tell(False)` when it is gone; on the link's
        thread."""
        self._subscribers.append(tell)

    def submit(self, job: Submission, receive: Receive) -> None:
        self.call(lambda: self._submit(job, receive))

    def ask_status(self, handle: str, receive: ReceiveStatus) -> None:
        key = encode_handle(handle)
        self.call(lambda: self._ask(constants.GET_STATUS, key, receive))

    def ask_status_of_unique(self, unique: str, receive: ReceiveStatus) -> None:
        """Only of a server of kind OURS or JOINING: a SIMPLE one never answers."""
        self.call(lambda: self._ask(GET_STATUS_UNIQUE, unique.encode(), receive))

    def ask_functions(self, receive: ReceiveLines = lambda lines: None) -> None:
        """Ask anew which functions there are; `functions` is replaced before `receive` is called."""

        def keep(lines: list[str] | None) -> None:
            if lines is not None:
                self._keep_functions(lines)
            receive(lines)

        self.call(lambda: self._send_admin("status", True, keep))

    def cancel(self, handle: str, receive: Callable[[bool | None], None]) -> None:
        """Take a queued job back: True if the server says OK, which on JOINING does not mean that it was not running.

        FAIL is no last word for the job from here on: `forget` it when it is of no more interest.
        """

        def cancel() -> None:
            self._cancelled.add(encode_handle(handle))
            self._send_admin(
                f"cancel job {handle}", False, lambda lines: receive(lines[0].startswith("OK") if lines else None)
            )

        self.call(cancel)

    def forget(self, handle: str) -> None:
        """Nothing more is to be told about this job."""
        key = encode_handle(handle)

        def forget() -> None:
            self._jobs.pop(key, None)
            self._cancelled.discard(key)

        self.call(forget)

    # What is sent

    def _submit(self, job: Submission, receive: Receive) -> None:
        if not self.connected:
            receive(Word(Kind.LOST))
            return
        self._submitted.append((self._deadline(), receive))
        self.send(encode(_SUBMIT[job.precedence], job.function.encode(), job.unique.encode(), job.payload))

    def _ask(self, command: int, key: bytes, receive: ReceiveStatus) -> None:
        if not self.connected:
            receive(None)
            return
        self._asked.append((self._deadline(), key, receive))
        self.send(encode(command, key))

    def _send_admin(self, command: str, several_lines: bool, receive: ReceiveLines) -> None:
        if not self.connected:
            receive(None)
            return
        self._admin.append((self._deadline(), several_lines, receive))
        self.send(command.encode("latin-1", "replace") + b"\n")

    def _deadline(self) -> float:
        return time.monotonic() + self._answer_seconds

    def overdue_at(self) -> float | None:
        first = [queue[0][0] for queue in (self._submitted, self._asked, self._admin) if queue]
        return min(first, default=None)

    # What arrives

    def opened(self) -> None:
        """Ask two things at once: gear.Server never answers the first, every server answers the second."""
        self.send(b"version\nstatus\n")
        self._admin.append((self._deadline(), True, self._greeted))

    def _greeted(self, lines: list[str] | None) -> None:
        if lines is None:
            return
        has_version = bool(lines) and lines[0].startswith("OK") and "\t" not in lines[0]
        self.kind = ServerKind.SIMPLE
        if has_version:
            self.kind = ServerKind.OURS if "zuul-launcher" in lines.pop(0) else ServerKind.JOINING
            # Without it gearmand keeps the text of an exception to itself.
            self.send(encode(constants.OPTION_REQ, b"exceptions"))
        self._keep_functions(lines)
        self.connected_at = time.monotonic()
        self.connected = True
        for tell in self._subscribers:
            self.guard(partial(tell, True))

    def closed(self) -> None:
        was_connected, self.connected = self.connected, False
        receivers = [receive for _, receive in self._submitted] + list(self._jobs.values())
        asked = [receive for _, _, receive in self._asked]
        admin = [receive for _, _, receive in self._admin]
        for collection in (self._submitted, self._jobs, self._cancelled, self._asked, self._admin, self._lines):
            collection.clear()
        if was_connected:
            for tell in self._subscribers:
                self.guard(partial(tell, False))
        for receive in receivers:
            self.guard(partial(receive, Word(Kind.LOST)))
        for receive_status in asked:
            self.guard(partial(receive_status, None))
        for receive_lines in admin:
            self.guard(partial(receive_lines, None))

    def packet(self, command: int, body: bytes) -> None:
        if kind := _KINDS.get(command):
            handle, _, data = body.partition(b"\0")
            self._job_speaks(handle, Word(kind, data))
        elif command == constants.JOB_CREATED and self._submitted:
            _, receive = self._submitted.popleft()
            self._jobs[body] = receive
            receive(Word(Kind.CREATED, body))
        elif command in (constants.STATUS_RES, STATUS_RES_UNIQUE):
            self._status_came(body.split(b"\0"))
        elif command == constants.ERROR:
            self._error_came(body.replace(b"\0", b": "))
        elif command not in (constants.OPTION_RES, constants.NOOP, constants.ECHO_RES):
            log.warning("%s: %s sent an unexpected packet of type %d", self.name, self.address, command)

    def _job_speaks(self, handle: bytes, word: Word) -> None:
        stays = word.kind not in LAST_WORDS or (word.kind is Kind.FAIL and handle in self._cancelled)
        receive = self._jobs.get(handle) if stays else self._jobs.pop(handle, None)
        if not stays:
            self._cancelled.discard(handle)
        if receive is not None:
            receive(word)

    def _status_came(self, fields: list[bytes]) -> None:
        for place, (_, key, receive) in enumerate(self._asked):
            if key == fields[0] and len(fields) >= 3:
                del self._asked[place]
                receive(JobStatus(known=fields[1] == b"1", running=fields[2] == b"1"))
                return

    def _error_came(self, text: bytes) -> None:
        if not self._submitted:
            log.warning("%s: %s says: %s", self.name, self.address, text.decode(errors="replace"))
            return
        _, receive = self._submitted.popleft()
        receive(Word(Kind.REFUSED, text))

    def line(self, text: str) -> None:
        if not self._admin:
            log.warning("%s: %s sent an unexpected line: %.200s", self.name, self.address, text)
            return
        _, several_lines, receive = self._admin[0]
        if several_lines and text != ".":
            self._lines.append(text)
            return
        lines = self._lines if several_lines else [text]
        self._lines = []
        self._admin.popleft()
        receive(lines)

    def _keep_functions(self, lines: list[str]) -> None:
        """Lines are NAME, total, running, workers, parted by tabs."""
        functions: dict[str, int] = {}
        for line in lines:
            name, *numbers = line.rsplit("\t", 3)
            if len(numbers) == 3 and numbers[2].isdigit():
                functions[name] = int(numbers[2])
        self.functions = functions
        self.functions_at = time.monotonic()
