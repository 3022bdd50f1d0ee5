"""The job queue: who gets which job, who is woken, who hears of what, and what is kept for a client that comes back.

Pure: no I/O, no clock. Time comes in as an argument (seconds of any steady clock), what is to be sent collects in
`outgoing`.

1. A worker gets the oldest of the jobs of the highest priority that it can do, over all its functions (lanes.py).
2. A job wakes one sleeping worker; if that one does not take it, another one is woken.
3. A submission with function and unique of a known job joins it: same handle, all that follows, the latest data and
   progress that came before.
4. A foreground job whose clients are gone is kept for the grace time if it has a unique; without one nobody could find
   it again: queued it is dropped, running it ends unheard.
5. A result that no client was there to hear is kept for the grace time, and given to the first who submits the job
   again. One that was sent counts as heard after the hearing time: if the client's connection breaks before, nobody
   knows whether it made use of it, so the result is kept as if it had not been sent.
6. A worker that is gone fails its jobs. They go to no other worker: whether to try again is the client's decision.
"""

import heapq
import logging
from collections import Counter
from collections.abc import Iterable

from zuul_launcher.gearman.server.abilities import Abilities
from zuul_launcher.gearman.server.job import Job, JobState, Peer, Priority, Submission
from zuul_launcher.gearman.server.lanes import Lanes
from zuul_launcher.gearman.server.packets import Command, response

log = logging.getLogger("zuul_launcher.gearman.server")

REWAKE_SECONDS = 1.0
NOOP = response(Command.NOOP)


class QueueFull(Exception):
    """The function has as many jobs as `maxqueue` allows."""


class JobQueue:
    """All jobs and workers of a server. Peers are told apart by identity; one that left must not be used again."""

    def __init__(
        self,
        *,
        handle_prefix: bytes,
        first_number: int = 1,
        grace_seconds: float = 600.0,
        hearing_seconds: float = 5.0,
    ) -> None:
        self.outgoing: list[tuple[Peer, bytes]] = []
        self.abilities = Abilities()
        self.lanes = Lanes()
        self.running: Counter[bytes] = Counter()
        self.limits: dict[bytes, int] = {}
        self.jobs: dict[bytes, Job] = {}  # by handle: queued, running, and ended ones whose result is kept
        self._known: dict[bytes, dict[bytes, Job]] = {}  # the same by identity and function
        self._timers: list[tuple[float, int, Job]] = []
        self._timer_number = 0
        self._handle_prefix = handle_prefix
        self._next_number = first_number
        self._grace_seconds = grace_seconds
        self._hearing_seconds = hearing_seconds

    # Clients

    def submit(self, client: Peer, submission: Submission, now: float) -> Job:
        """Queue a job, or join the one that is known by this function and unique. Raises QueueFull."""
        job = self._known.get(submission.identity, {}).get(submission.function) if submission.identity else None
        if job is not None and job.state is JobState.ENDED and submission.background:
            self._forget(job)  # who asks in the background wants it run, not told
            job = None
        if job is None:
            return self._create(client, submission, now)
        if submission.background:
            job.background = True
        elif job.state is not JobState.ENDED:
            self._attach(client, job)
        if job.state is JobState.QUEUED:
            job.deadline = 0.0
        self._send(client, Command.JOB_CREATED, job.handle)
        if not submission.background:
            self._replay(job, client, now)
        return job

    def find_unique(self, unique: bytes) -> Job | None:
        """A job of this unique, whatever its function."""
        return next(iter(self._known.get(unique, {}).values()), None)

    def cancel(self, handle: bytes) -> bool:
        """Remove a queued job without a word to its clients; False if it is running or unknown."""
        job = self.jobs.get(handle)
        if job is None or job.state is not JobState.QUEUED:
            return False
        self._drop(job)
        return True

    # Workers

    def can_do(self, worker: Peer, function: bytes, seconds: float, now: float) -> None:
        """`seconds` is how long a job of the function may take there, 0 for any time."""
        self.abilities.add(worker, function, seconds)
        if worker.asleep:
            self._wake_if_work(worker, now)

    def replace_functions(self, worker: Peer, functions: Iterable[bytes], now: float) -> None:
        wanted = dict.fromkeys(functions)
        for function in [name for name in worker.functions if name not in wanted]:
            self.abilities.remove(worker, function)
        for function in wanted:
            self.abilities.add(worker, function, 0.0)
        if worker.asleep:
            self._wake_if_work(worker, now)

    def sleep(self, worker: Peer, now: float) -> None:
        """The worker waits for a NOOP; it gets one at once if there is a job for it."""
        self.abilities.sleep(worker)
        self._release(worker, now)
        if worker.asleep:
            self._wake_if_work(worker, now)

    def grab(self, worker: Peer, now: float) -> Job | None:
        """Hand out the worker's next job, or None."""
        self.abilities.wake(worker)
        job = self.lanes.first(worker.functions)
        rival = None
        if job is not None:
            rival = job.woken
            self._unbind(job)
            self.lanes.remove(job)
            job.state, job.worker, job.deadline = JobState.RUNNING, worker, 0.0
            worker.running[job.handle] = job
            self.running[job.function] += 1
            if seconds := worker.functions[job.function]:
                job.deadline = self._set_timer(job, now + seconds)
        self._release(worker, now, rival)
        return job

    def progress(self, worker: Peer, command: Command, handle: bytes, data: bytes) -> None:
        """Pass WORK_DATA, WORK_WARNING or WORK_STATUS on; from anyone but the job's worker it is ignored."""
        job = worker.running.get(handle)
        if job is None:
            return
        if command is Command.WORK_DATA:
            job.latest_data = data
        elif command is Command.WORK_STATUS:
            job.progress = data
        for client in job.clients:
            self._send(client, command, handle, data)

    def finish(self, worker: Peer, command: Command, handle: bytes, data: bytes, now: float) -> None:
        """End a job with WORK_COMPLETE, WORK_FAIL or WORK_EXCEPTION; a second end, or a stranger's, is ignored."""
        job = worker.running.get(handle)
        if job is not None:
            self._end(job, command, data, now)

    # Both

    def leave(self, peer: Peer, now: float) -> None:
        """The connection is gone."""
        for job in list(peer.watching.values()):
            del job.clients[peer]
            if not job.clients and not job.background and job.state is JobState.QUEUED:
                self._desert(job, now)
        peer.watching.clear()
        for job in list(peer.hearing.values()):
            self._keep_unheard(job, now)
        for job in list(peer.running.values()):
            log.info("worker %s is gone, so job %s fails", peer, job)
            self._end(job, Command.WORK_FAIL, b"", now)
        self.abilities.wake(peer)
        self.abilities.clear(peer)
        self._release(peer, now)

    def advance(self, now: float) -> None:
        """Do what is due: wake another worker, fail what took too long, drop what nobody came back for."""
        while self._timers and self._timers[0][0] <= now:
            when, _, job = heapq.heappop(self._timers)
            if job.rewake == when:
                self._unbind(job)
                self._wake_one(job, now)
            if job.deadline == when:
                self._expire(job, now)

    @property
    def next_deadline(self) -> float | None:
        """When `advance` is to be called next."""
        return self._timers[0][0] if self._timers else None

    # A job's way

    def _create(self, client: Peer, submission: Submission, now: float) -> Job:
        function = submission.function
        limit = self.limits.get(function, 0)
        if limit and self.total(function) >= limit:
            raise QueueFull(function.decode(errors="replace"))
        job = Job(
            handle=b"%s:%d" % (self._handle_prefix, self._next_number),
            function=function,
            unique=submission.unique,
            identity=submission.identity,
            payload=submission.payload,
            priority=submission.priority,
            sequence=self._next_number,
            background=submission.background,
        )
        self._next_number += 1
        self._know(job)
        if not job.background:
            self._attach(client, job)
        self._send(client, Command.JOB_CREATED, job.handle)
        self.lanes.add(job)
        self._wake_one(job, now)
        return job

    def _know(self, job: Job) -> None:
        self.jobs[job.handle] = job
        if job.identity:
            self._known.setdefault(job.identity, {})[job.function] = job

    def _attach(self, client: Peer, job: Job) -> None:
        job.clients[client] = None
        client.watching[job.handle] = job

    def _replay(self, job: Job, client: Peer, now: float) -> None:
        """Tell a client that joined what it missed; a result that is delivered is given to nobody else."""
        if job.latest_data is not None:
            self._send(client, Command.WORK_DATA, job.handle, job.latest_data)
        if job.progress is not None:
            self._send(client, Command.WORK_STATUS, job.handle, job.progress)
        if job.result is not None:
            self._send_end(client, job, *job.result)
            self._forget(job)
            job.clients[client] = None
            self._let_hear(job, now)

    def _desert(self, job: Job, now: float) -> None:
        """The last client of a queued foreground job is gone."""
        if job.collectable:
            job.deadline = self._set_timer(job, now + self._grace_seconds)
        else:
            self._drop(job)

    def _end(self, job: Job, command: Command, data: bytes, now: float) -> None:
        assert job.worker is not None
        del job.worker.running[job.handle]
        self.running[job.function] -= 1
        if not self.running[job.function]:
            del self.running[job.function]
        for client in job.clients:
            self._send_end(client, job, command, data)
            del client.watching[job.handle]
        job.state, job.worker, job.payload = JobState.ENDED, None, b""
        job.result = (command, data)
        if job.collectable and not job.clients:
            self._keep(job, now)
            return
        self._forget(job)
        if job.collectable:
            self._let_hear(job, now)

    def _keep(self, job: Job, now: float) -> None:
        log.info("job %s ended without a client, its result is kept for %d s", job, self._grace_seconds)
        job.deadline = self._set_timer(job, now + self._grace_seconds)

    def _let_hear(self, job: Job, now: float) -> None:
        """Its end was sent to its clients; the job itself is forgotten already."""
        for client in job.clients:
            client.hearing[job.handle] = job
        job.deadline = self._set_timer(job, now + self._hearing_seconds)

    def _was_heard(self, job: Job) -> None:
        job.deadline = 0.0
        for client in job.clients:
            del client.hearing[job.handle]
        job.clients.clear()

    def _keep_unheard(self, job: Job, now: float) -> None:
        """A client left too soon after the end was sent to it."""
        self._was_heard(job)
        if job.function not in self._known.get(job.identity, {}):  # else it is being run again already
            self._know(job)
            self._keep(job, now)

    def _expire(self, job: Job, now: float) -> None:
        match job.state:
            case JobState.RUNNING:
                log.info("job %s takes longer than its worker %s allows, so it fails", job, job.worker)
                self._end(job, Command.WORK_FAIL, b"", now)
            case JobState.QUEUED:
                log.info("no client came back for job %s, dropped", job)
                self._drop(job)
            case JobState.ENDED if job.handle in self.jobs:
                self._forget(job)
            case JobState.ENDED:
                self._was_heard(job)

    def _drop(self, job: Job) -> None:
        """Take a queued job away."""
        self.lanes.remove(job)
        self._unbind(job)
        for client in job.clients:
            del client.watching[job.handle]
        self._forget(job)

    def _forget(self, job: Job) -> None:
        job.deadline = 0.0
        del self.jobs[job.handle]
        if job.identity:
            functions = self._known[job.identity]
            del functions[job.function]
            if not functions:
                del self._known[job.identity]

    # Waking. A queued job and the worker that was woken for it are bound to each other until the worker's next move.

    def _wake_one(self, job: Job, now: float) -> None:
        worker = self.abilities.sleeper(job.function)
        if worker is not None:
            self._wake(worker, job, now)

    def _wake_if_work(self, worker: Peer, now: float) -> None:
        job = self.lanes.first(worker.functions)
        if job is not None:
            self._unbind(job)
            self._wake(worker, job, now)

    def _wake(self, worker: Peer, job: Job, now: float) -> None:
        self.abilities.wake(worker)
        self._bind(worker, job, now)
        self.outgoing.append((worker, NOOP))

    def _release(self, worker: Peer, now: float, rival: Peer | None = None) -> None:
        """The worker moved. The job that it was woken for and did not take needs another: the rival is on its way."""
        job = worker.woken_for
        if job is None:
            return
        self._unbind(job)
        if rival is not None and job.function in rival.functions:
            self._bind(rival, job, now)
        else:
            self._wake_one(job, now)

    def _bind(self, worker: Peer, job: Job, now: float) -> None:
        worker.woken_for, job.woken = job, worker
        job.rewake = self._set_timer(job, now + REWAKE_SECONDS)

    def _unbind(self, job: Job) -> None:
        if job.woken is not None:
            job.woken.woken_for, job.woken = None, None
            job.rewake = 0.0

    # Small things

    def total(self, function: bytes) -> int:
        """Queued and running jobs of a function."""
        return self.running[function] + sum(self.lanes.count(function, priority) for priority in Priority)

    def _set_timer(self, job: Job, when: float) -> float:
        self._timer_number += 1
        heapq.heappush(self._timers, (when, self._timer_number, job))
        return when

    def _send(self, peer: Peer, command: Command, *arguments: bytes) -> None:
        self.outgoing.append((peer, response(command, *arguments)))

    def _send_end(self, client: Peer, job: Job, command: Command, data: bytes) -> None:
        if command is Command.WORK_FAIL:
            self._send(client, command, job.handle)
        else:
            self._send(client, command, job.handle, data)
