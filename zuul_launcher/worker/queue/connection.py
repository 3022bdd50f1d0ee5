"""One connection of a worker: who it is, what it can do, and at most one GRAB at a time.

1. Each new connection says its id, takes back all functions and offers them anew; later only differences are sent:
   at once, but not while a GRAB is unanswered, and the function of the job that it has is offered until the job is
   over. gearmand queues a running job anew when its worker takes the function back (measured, 1.1.20).
2. It grabs when it connects, after a NOOP, after each job, and when functions were added while it slept: a job that
   was queued before is announced by no server. At no other time, and never twice without an answer.
3. Asleep for long, it grabs: that finds a connection that carries nothing any more (the answer has a deadline), and
   makes up for a NOOP that got lost.
4. ERROR is logged, no more. What breaks the protocol, and a fault of ours, ends the connection: the next one begins
   from the start.
5. News of a job go out on the connection that was given it, and one of them is the last.
"""

import enum
import logging
import time
from collections.abc import Callable, Iterable
from functools import partial

from gear import constants
from msgspec import Struct

from zuul_launcher.gearman.link import Backoff, Link
from zuul_launcher.gearman.wire import encode
from zuul_launcher.worker.queue.functions import Difference, difference
from zuul_launcher.worker.queue.outage import Outage
from zuul_launcher.worker.queue.settings import QueueSettings

log = logging.getLogger("zuul_launcher.worker.queue")


class Turn(enum.Enum):
    AWAY = "not connected"
    AWAKE = "about to grab"
    GRABBING = "waits for the answer to a GRAB"
    ASLEEP = "waits for a NOOP"
    BUSY = "has a job"


class GivenJob(Struct, frozen=True, kw_only=True):
    """What JOB_ASSIGN_UNIQ says."""

    handle: bytes
    function: str
    unique: str
    payload: bytes


class WorkerConnection(Link):
    """Subclasses say when it may grab, and what becomes of a job. All methods with an underscore, and those that they
    redefine, run on the link's thread."""

    def __init__(
        self, settings: QueueSettings, client_id: str, outage: Outage, functions: frozenset[str] = frozenset()
    ) -> None:
        backoff = Backoff(settings.delays, jitter=settings.jitter, stable_seconds=settings.stable_seconds)
        super().__init__(settings.server, settings.port, name=client_id, backoff=backoff)
        self.generation = 0  # grows with each connection, and at its end
        self.turn = Turn.AWAY
        self.registered: frozenset[str] = frozenset()  # on this connection; replaced, never changed
        self._settings = settings
        self._outage = outage
        self._wanted = functions
        self._held: frozenset[str] = frozenset()  # the function of the job that it has
        self._answer_due = 0.0
        self._asleep_since = 0.0
        self._is_probe_set = False
        self._awaited: list[tuple[frozenset[Turn], Callable[[], None]]] = []

    # For all threads

    def offer(self, functions: frozenset[str]) -> None:
        """From now on these, sent as a difference."""
        self.call(partial(self._offer, functions))

    def flush(self, done: Callable[[], None]) -> None:
        """Call `done`, on some thread, when all that was asked before is sent and no GRAB is unanswered: with no
        functions on offer, no job can come any more."""
        self.call(lambda: self._await_turn(frozenset(Turn) - {Turn.GRABBING}, lambda: self.when_sent(done)))

    def when_idle(self, done: Callable[[], None]) -> None:
        """Call `done` as soon as it has no job and is not about to get one."""
        self.call(lambda: self._await_turn(frozenset({Turn.AWAY, Turn.AWAKE, Turn.ASLEEP}), done))

    # For subclasses

    def take_turn(self) -> None:
        """It may grab as far as the protocol goes; a subclass may wait for more."""
        self.grab()

    def end_turn(self) -> None:
        """The GRAB was answered, or will not be; or it is not to be sent after all."""

    def given(self, job: GivenJob) -> None:
        """A job came: the turn is BUSY until `say` with `last`."""
        raise NotImplementedError

    def grab(self) -> None:
        self._answer_due = time.monotonic() + self._settings.answer_seconds
        self.send(encode(constants.GRAB_JOB_UNIQ))
        self._turn_to(Turn.GRABBING)

    def say(self, packets: bytes, *, last: bool) -> None:
        """News of the job that it has."""
        self.send(packets)
        if last:
            self._held = frozenset()
            self._update_functions()
            self._wake_up()

    # The link

    def guard(self, function: Callable[[], None]) -> None:
        """With a connection, a fault ends it: half done, a step may have left a worker that lives and never grabs."""
        if self.is_open:
            function()
        else:
            super().guard(function)

    def lost(self, reason: str, was_connected: bool) -> None:
        self._outage.began(self, reason)

    def found(self) -> None:
        self._outage.ended(self)

    def opened(self) -> None:
        self.generation += 1
        self.registered = self._wanted
        self.send(encode(constants.SET_CLIENT_ID, self.name.encode()) + encode(constants.RESET_ABILITIES))
        self.send(_functions(constants.CAN_DO, sorted(self._wanted)))
        self._wake_up()

    def closed(self) -> None:
        self.generation += 1
        self.registered = frozenset()
        self._held = frozenset()
        self.end_turn()
        self._turn_to(Turn.AWAY)

    def overdue_at(self) -> float | None:
        return self._answer_due if self.turn is Turn.GRABBING else None

    def line(self, text: str) -> None:
        log.warning("%s: %s sent an unexpected line: %.200s", self.name, self.address, text)

    def packet(self, command: int, body: bytes) -> None:
        log.debug("%s: %s sent a packet of type %d, %d bytes", self.name, self.address, command, len(body))
        if command == constants.JOB_ASSIGN_UNIQ:
            self._job_came(body)
        elif command == constants.NO_JOB and self.turn is Turn.GRABBING:
            self.end_turn()
            self._update_functions()
            self._sleep()
        elif command == constants.NOOP:
            if self.turn is Turn.ASLEEP:
                self._wake_up()
        elif command == constants.ERROR:
            text = body.replace(b"\0", b": ").decode(errors="replace")
            log.warning("%s: %s says: %.200s", self.name, self.address, text)
        elif command not in (constants.ECHO_RES, constants.OPTION_RES):
            log.warning("%s: %s sent an unexpected packet of type %d", self.name, self.address, command)

    # Steps

    def _offer(self, functions: frozenset[str]) -> None:
        self._wanted = functions
        if self.turn in (Turn.AWAY, Turn.GRABBING):
            return
        has_more = self._update_functions()
        if has_more and self.turn is Turn.ASLEEP:
            self._wake_up()
        elif not self.registered and self.turn is Turn.AWAKE:
            self.end_turn()  # nothing can be given to it, so it may look whether the connection lives
            self.grab()

    def _update_functions(self) -> bool:
        """Send the difference; were any added?"""
        wanted = self._wanted | self._held
        change = difference(self.registered, wanted)
        self.send(_packets(change))
        self.registered = wanted
        return bool(change.added)

    def _wake_up(self) -> None:
        self._turn_to(Turn.AWAKE)
        if self.registered:
            self.take_turn()
        else:
            self.grab()

    def _sleep(self) -> None:
        self.send(encode(constants.PRE_SLEEP))
        self._asleep_since = time.monotonic()
        self._turn_to(Turn.ASLEEP)
        self._set_probe(self._settings.probe_seconds)

    def _set_probe(self, seconds: float) -> None:
        if not self._is_probe_set:
            self._is_probe_set = True
            self.call_later(seconds, self._probe)

    def _probe(self) -> None:
        self._is_probe_set = False
        if self.turn is not Turn.ASLEEP:
            return
        left = self._asleep_since + self._settings.probe_seconds - time.monotonic()
        if left > 0:
            self._set_probe(left)
        else:
            self._wake_up()

    def _job_came(self, body: bytes) -> None:
        handle, function, unique, payload = body.split(b"\0", 3)
        if self.turn is not Turn.GRABBING:
            log.error("%s: %s gave a job that was not asked for: %r", self.name, self.address, handle)
            self.send(encode(constants.WORK_FAIL, handle))
            return
        self._turn_to(Turn.BUSY)
        job = GivenJob(
            handle=handle,
            function=function.decode(errors="replace"),
            unique=unique.decode(errors="replace"),
            payload=payload,
        )
        self._held = self.registered & {job.function}
        self._update_functions()
        self.given(job)

    def _turn_to(self, turn: Turn) -> None:
        self.turn = turn
        due = [function for turns, function in self._awaited if turn in turns]
        self._awaited = [(turns, function) for turns, function in self._awaited if turn not in turns]
        for function in due:
            function()

    def _await_turn(self, turns: frozenset[Turn], function: Callable[[], None]) -> None:
        self._awaited.append((turns, function))
        self._turn_to(self.turn)


def _packets(change: Difference) -> bytes:
    if change.reset:
        return encode(constants.RESET_ABILITIES)
    return _functions(constants.CANT_DO, change.removed) + _functions(constants.CAN_DO, change.added)


def _functions(command: int, names: Iterable[str]) -> bytes:
    return b"".join(encode(command, name.encode()) for name in names)
