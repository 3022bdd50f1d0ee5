"""What each binary packet does to the queue, and what is answered. No I/O: answers join the queue's `outgoing`.

Rules beyond the protocol's text, where servers differ:
- A worker's packet about a job that is not (or no longer) its own is ignored: gearmand answers ERROR, upon which
  Python's `gear` drops the connection with all its other jobs.
- CANT_DO of an unknown name is ignored. A function name with control characters would forge lines of the text protocol:
  such a job is refused, such a registration ignored.
- An unknown packet type is answered with ERROR, the connection stays.
"""

import logging
from collections.abc import Callable

from zuul_launcher.gearman.server.job import Job, JobState, Peer, Priority, Submission
from zuul_launcher.gearman.server.packets import ArgumentsMissing, Command, Packet, response
from zuul_launcher.gearman.server.queue import JobQueue, QueueFull

log = logging.getLogger("zuul_launcher.gearman.server")

_SUBMISSIONS = {
    Command.SUBMIT_JOB: (Priority.NORMAL, False),
    Command.SUBMIT_JOB_BG: (Priority.NORMAL, True),
    Command.SUBMIT_JOB_HIGH: (Priority.HIGH, False),
    Command.SUBMIT_JOB_HIGH_BG: (Priority.HIGH, True),
    Command.SUBMIT_JOB_LOW: (Priority.LOW, False),
    Command.SUBMIT_JOB_LOW_BG: (Priority.LOW, True),
}
_CONTROL = bytes([*range(0x20), 0x7F])


def perform(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    """Do what the packet asks, or answer ERROR."""
    action = _ACTIONS.get(packet.command)
    if action is None:
        _answer(queue, peer, Command.ERROR, b"INVALID_COMMAND", b"unknown or unexpected packet type")
        return
    try:
        action(queue, peer, packet, now)
    except ArgumentsMissing as error:
        _answer(queue, peer, Command.ERROR, b"INVALID_ARGUMENTS", str(error).encode())


def _answer(queue: JobQueue, peer: Peer, command: Command, *arguments: bytes) -> None:
    queue.outgoing.append((peer, response(command, *arguments)))


def _is_name(function: bytes) -> bool:
    return bool(function) and function.translate(None, _CONTROL) == function


# Clients


def _submit(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    function, unique, payload = packet.arguments(3)
    priority, background = _SUBMISSIONS[Command(packet.command)]
    if not _is_name(function):
        _answer(queue, peer, Command.ERROR, b"INVALID_FUNCTION_NAME", b"empty, or with control characters")
        return
    try:
        queue.submit(peer, Submission(function, unique, payload, priority, background), now)
    except QueueFull:
        _answer(queue, peer, Command.ERROR, b"QUEUE_ERROR", b"the function has as many jobs as maxqueue allows")


def _status(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    _answer(queue, peer, Command.STATUS_RES, packet.body, *_status_of(queue.jobs.get(packet.body)))


def _status_unique(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    job = queue.find_unique(packet.body)
    clients = b"%d" % len(job.clients) if job else b"0"
    _answer(queue, peer, Command.STATUS_RES_UNIQUE, packet.body, *_status_of(job), clients)


def _status_of(job: Job | None) -> list[bytes]:
    """Known, running, numerator, denominator. An ended job whose result is kept is known and not running, as a queued
    one is: who submits it again gets its end without a second run."""
    if job is None:
        return [b"0", b"0", b"0", b"0"]
    numerator, _, denominator = (job.progress or b"0\x000").partition(b"\0")
    return [b"1", b"1" if job.state is JobState.RUNNING else b"0", numerator, denominator]


def _option(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    """Accepted, and without effect: WORK_EXCEPTION is forwarded to all. `gear` does not ask for it and expects it, and
    libgearman ends the job with it whether it asked or not."""
    if packet.body != b"exceptions":
        _answer(queue, peer, Command.ERROR, b"UNKNOWN_OPTION", b"the only option is exceptions")
        return
    _answer(queue, peer, Command.OPTION_RES, packet.body)


def _echo(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    _answer(queue, peer, Command.ECHO_RES, packet.body)


def _name_client(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    name = packet.body.decode(errors="replace")
    peer.client_id = "".join(c if c.isprintable() and c != " " else "_" for c in name) or "-"


# Workers


def _can_do(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    _register(queue, peer, packet.body, 0.0, now)


def _can_do_timeout(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    function, seconds = packet.arguments(2)
    if not seconds.isdigit():
        raise ArgumentsMissing("CAN_DO_TIMEOUT needs a number of seconds")
    _register(queue, peer, function, float(seconds[:9]), now)


def _register(queue: JobQueue, peer: Peer, function: bytes, seconds: float, now: float) -> None:
    if _is_name(function):
        queue.can_do(peer, function, seconds, now)
    else:
        log.warning("worker %s registers a name that no function can have: %r", peer, function[:100])


def _cant_do(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    queue.abilities.remove(peer, packet.body)


def _reset_abilities(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    queue.abilities.clear(peer)


def _mass_do(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    queue.replace_functions(peer, filter(_is_name, packet.body.split(b"\0")), now)


def _pre_sleep(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    queue.sleep(peer, now)


def _grab(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    job = queue.grab(peer, now)
    if job is None:
        _answer(queue, peer, Command.NO_JOB)
    elif packet.command == Command.GRAB_JOB:
        _answer(queue, peer, Command.JOB_ASSIGN, job.handle, job.function, job.payload)
    else:  # GRAB_JOB_ALL has an answer of its own only for jobs with a reducer, which we do not have
        _answer(queue, peer, Command.JOB_ASSIGN_UNIQ, job.handle, job.function, job.unique, job.payload)


def _progress(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    if packet.command == Command.WORK_STATUS:
        packet.arguments(3)
    handle, _, data = packet.body.partition(b"\0")
    queue.progress(peer, Command(packet.command), handle, data)


def _finish(queue: JobQueue, peer: Peer, packet: Packet, now: float) -> None:
    handle, _, data = packet.body.partition(b"\0")
    queue.finish(peer, Command(packet.command), handle, data, now)


_ACTIONS: dict[int, Callable[[JobQueue, Peer, Packet, float], None]] = {
    **dict.fromkeys(_SUBMISSIONS, _submit),
    **dict.fromkeys((Command.GRAB_JOB, Command.GRAB_JOB_UNIQ, Command.GRAB_JOB_ALL), _grab),
    **dict.fromkeys((Command.WORK_DATA, Command.WORK_WARNING, Command.WORK_STATUS), _progress),
    **dict.fromkeys((Command.WORK_COMPLETE, Command.WORK_FAIL, Command.WORK_EXCEPTION), _finish),
    Command.GET_STATUS: _status,
    Command.GET_STATUS_UNIQUE: _status_unique,
    Command.OPTION_REQ: _option,
    Command.ECHO_REQ: _echo,
    Command.SET_CLIENT_ID: _name_client,
    Command.CAN_DO: _can_do,
    Command.CAN_DO_TIMEOUT: _can_do_timeout,
    Command.CANT_DO: _cant_do,
    Command.RESET_ABILITIES: _reset_abilities,
    Command.MASS_DO: _mass_do,
    Command.PRE_SLEEP: _pre_sleep,
}
