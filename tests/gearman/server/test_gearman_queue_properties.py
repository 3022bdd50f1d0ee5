"""Whatever clients and workers do in whatever order: no job is lost, none is handed out twice, the order is kept, no
worker that could do a queued job sleeps on."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zuul_launcher.gearman.server.job import Job, JobState, Peer, Priority, Submission
from zuul_launcher.gearman.server.packets import Command
from zuul_launcher.gearman.server.queue import JobQueue

FUNCTIONS = st.sampled_from([b"f", b"g", b"h"])
GRACE = 50.0


class QueueMachine(RuleBasedStateMachine):
    """The model: what is queued, in order; who has what; all by our own count."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = JobQueue(handle_prefix=b"H", grace_seconds=GRACE)
        self.now = 0.0
        self.clients = [Peer("client", n) for n in range(3)]
        self.workers = [Peer("worker", n) for n in range(4)]
        self.queued: list[Job] = []
        self.running: dict[Job, Peer] = {}

    @rule(
        client=st.integers(0, 2),
        function=FUNCTIONS,
        unique=st.sampled_from([b"", b"1", b"2"]),
        priority=st.sampled_from(Priority),
        background=st.booleans(),
    )
    def submit(self, client: int, function: bytes, unique: bytes, priority: Priority, background: bool) -> None:
        before = set(self.queue.jobs)
        job = self.queue.submit(self.clients[client], Submission(function, unique, b"", priority, background), self.now)
        same = [each for each in (*self.queued, *self.running) if each.function == function and each.unique == unique]
        assert (job in same) == bool(unique and same)
        if job.state is JobState.QUEUED and job.handle not in before:
            self.queued.append(job)

    @rule(worker=st.integers(0, 3), functions=st.sets(FUNCTIONS))
    def learn(self, worker: int, functions: set[bytes]) -> None:
        self.queue.replace_functions(self.workers[worker], sorted(functions), self.now)

    @rule(worker=st.integers(0, 3))
    def sleep(self, worker: int) -> None:
        self.queue.sleep(self.workers[worker], self.now)

    @rule(worker=st.integers(0, 3))
    def grab(self, worker: int) -> None:
        able = self.workers[worker]
        doable = [each for each in self.queued if each.function in able.functions]
        expected = min(doable, key=lambda each: each.priority, default=None)  # the first of equal ones is the oldest
        job = self.queue.grab(able, self.now)
        assert job is expected
        if job is not None:
            self.queued.remove(job)
            self.running[job] = able

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.running, key=lambda each: each.sequence)))
        heard = {*job.clients}
        self.queue.outgoing.clear()
        self.queue.finish(self.running.pop(job), Command.WORK_COMPLETE, job.handle, b"", self.now)
        assert {receiver for receiver, _ in self.queue.outgoing} == heard

    @rule(client=st.integers(0, 2))
    def client_leaves(self, client: int) -> None:
        gone = self.clients[client]
        self.queue.leave(gone, self.now)
        self.clients[client] = Peer("client", client)
        self.queued = [
            each
            for each in self.queued
            if each.clients or each.background or each.unique  # the rest nobody can find
        ]

    @rule(worker=st.integers(0, 3))
    def worker_leaves(self, worker: int) -> None:
        gone = self.workers[worker]
        self.queue.leave(gone, self.now)
        self.workers[worker] = Peer("worker", worker)
        self.running = {job: able for job, able in self.running.items() if able is not gone}

    @rule(seconds=st.sampled_from([0.5, 2.0, GRACE]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = [each for each in self.queued if each.deadline and each.deadline <= self.now]
        assert all(not each.clients and not each.background for each in due)
        self.queue.advance(self.now)
        self.queued = [each for each in self.queued if each not in due]

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.queued))
        assert self.queue.cancel(job.handle)
        self.queued.remove(job)

    @invariant()
    def every_job_is_where_it_should_be(self) -> None:
        found = {state: {each for each in self.queue.jobs.values() if each.state is state} for state in JobState}
        assert found[JobState.QUEUED] == set(self.queued)
        assert found[JobState.RUNNING] == set(self.running)
        assert all(each.result and not each.clients for each in found[JobState.ENDED])
        for function in (b"f", b"g", b"h"):
            count = sum(each.function == function for each in (*self.queued, *self.running))
            assert self.queue.total(function) == count

    @invariant()
    def no_able_worker_sleeps_while_a_job_waits_for_nobody(self) -> None:
        for job in self.queued:
            if job.woken is None:
                assert not [each for each in self.workers if each.asleep and job.function in each.functions]
            else:
                assert job.woken.woken_for is job
                assert job.rewake > self.now

    @invariant()
    def nothing_is_kept_of_who_left(self) -> None:
        known = {*self.clients, *self.workers}
        for job in self.queue.jobs.values():
            assert {*job.clients} <= known
            assert job.worker is None or job.worker in known
            assert job.woken is None or job.woken in known


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueue = QueueMachine.TestCase
