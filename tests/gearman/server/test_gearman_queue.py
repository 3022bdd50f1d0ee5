"""The queue, without a socket: time is a number, and what is sent is read from `outgoing`."""

import pytest

from zuul_launcher.gearman.server.job import Job, Peer, Priority, Submission
from zuul_launcher.gearman.server.packets import MAGIC_RESPONSE, Command, Framing, Packet
from zuul_launcher.gearman.server.queue import REWAKE_SECONDS, JobQueue, QueueFull

GRACE = 600.0
HEARING = 5.0


def new_queue() -> JobQueue:
    return JobQueue(handle_prefix=b"H:test", grace_seconds=GRACE, hearing_seconds=HEARING)


def peer(name: str = "peer") -> Peer:
    return Peer("127.0.0.1", 0, name)


def worker(queue: JobQueue, *functions: bytes, name: str = "worker", asleep: bool = False) -> Peer:
    made = peer(name)
    for function in functions:
        queue.can_do(made, function, 0.0, 0.0)
    if asleep:
        queue.sleep(made, 0.0)
    return made


def submit(
    queue: JobQueue,
    client: Peer,
    function: bytes = b"f",
    unique: bytes = b"",
    priority: Priority = Priority.NORMAL,
    background: bool = False,
    payload: bytes = b"",
    now: float = 0.0,
) -> Job:
    return queue.submit(client, Submission(function, unique, payload, priority, background), now)


def sent(queue: JobQueue, to: Peer) -> list[tuple[Command, bytes]]:
    """What was sent to the peer since the last question."""
    framing = Framing(1000, MAGIC_RESPONSE)
    for receiver, data in queue.outgoing:
        if receiver is to:
            framing.feed(data)
    queue.outgoing = [each for each in queue.outgoing if each[0] is not to]
    found = []
    while (packet := framing.next()) is not None:
        assert isinstance(packet, Packet)
        found.append((Command(packet.command), packet.body))
    return found


def commands(queue: JobQueue, to: Peer) -> list[Command]:
    return [command for command, _ in sent(queue, to)]


# Order


def test_a_worker_gets_jobs_by_priority_and_then_by_age_over_all_its_functions() -> None:
    queue, client = new_queue(), peer()
    low = submit(queue, client, b"a", priority=Priority.LOW)
    b1 = submit(queue, client, b"b")
    a1 = submit(queue, client, b"a")
    b2 = submit(queue, client, b"b")
    submit(queue, client, b"other", priority=Priority.HIGH)
    high = submit(queue, client, b"a", priority=Priority.HIGH)
    able = worker(queue, b"a", b"b", b"never submitted")
    assert [queue.grab(able, 0.0) for _ in range(6)] == [high, b1, a1, b2, low, None]


def test_a_worker_without_functions_gets_nothing() -> None:
    queue = new_queue()
    submit(queue, peer())
    assert queue.grab(worker(queue), 0.0) is None


# Waking


def test_a_job_wakes_one_worker_that_can_do_it_the_one_that_slept_longest() -> None:
    queue = new_queue()
    other = worker(queue, b"other", asleep=True)
    first = worker(queue, b"f", asleep=True)
    second = worker(queue, b"f", asleep=True)
    submit(queue, peer())
    assert [commands(queue, each) for each in (other, first, second)] == [[], [Command.NOOP], []]
    submit(queue, peer())
    assert [commands(queue, each) for each in (other, first, second)] == [[], [], [Command.NOOP]]


def test_a_worker_that_falls_asleep_or_learns_while_a_job_waits_is_woken_at_once() -> None:
    queue = new_queue()
    submit(queue, peer(), b"f")
    able = worker(queue, b"f", asleep=True)
    assert commands(queue, able) == [Command.NOOP]
    learner = worker(queue, b"other", asleep=True)
    queue.can_do(learner, b"f", 0.0, 0.0)
    assert commands(queue, learner) == [Command.NOOP]
    mass_learner = worker(queue, b"other", asleep=True)
    queue.replace_functions(mass_learner, [b"f"], 0.0)
    assert commands(queue, mass_learner) == [Command.NOOP]


def test_if_the_woken_worker_leaves_another_is_woken() -> None:
    queue = new_queue()
    first, second = worker(queue, b"f", asleep=True), worker(queue, b"f", asleep=True)
    submit(queue, peer())
    queue.leave(first, 0.0)
    assert commands(queue, second) == [Command.NOOP]


def test_if_the_woken_worker_takes_another_job_another_worker_is_woken() -> None:
    queue = new_queue()
    first, second = worker(queue, b"f", b"g", asleep=True), worker(queue, b"f", asleep=True)
    submit(queue, peer(), b"f")
    urgent = submit(queue, peer(), b"g", priority=Priority.HIGH)
    assert commands(queue, second) == []
    assert queue.grab(first, 0.0) is urgent
    assert commands(queue, second) == [Command.NOOP]


def test_if_the_woken_worker_does_nothing_for_a_while_another_is_woken_once() -> None:
    queue = new_queue()
    worker(queue, b"f", asleep=True)
    second = worker(queue, b"f", asleep=True)
    submit(queue, peer())
    queue.advance(REWAKE_SECONDS - 0.1)
    assert commands(queue, second) == []
    queue.advance(REWAKE_SECONDS)
    assert commands(queue, second) == [Command.NOOP]
    queue.advance(REWAKE_SECONDS * 10)
    assert commands(queue, second) == []
    assert queue.next_deadline is None


def test_two_workers_that_take_each_others_jobs_wake_nobody_else() -> None:
    queue = new_queue()
    first, second, third = (worker(queue, b"f", asleep=True) for _ in range(3))
    older, newer = submit(queue, peer()), submit(queue, peer())
    assert queue.grab(second, 0.0) is older
    assert queue.grab(first, 0.0) is newer
    assert commands(queue, third) == []


def test_a_grabbed_job_wakes_nobody_later() -> None:
    queue = new_queue()
    first, second = worker(queue, b"f", asleep=True), worker(queue, b"f", asleep=True)
    submit(queue, peer())
    queue.grab(first, 0.0)
    queue.advance(REWAKE_SECONDS * 2)
    assert commands(queue, second) == []


# Joining


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_a_second_submission_of_function_and_unique_joins_the_first(running: bool, background: bool) -> None:
    queue, able = new_queue(), peer()
    queue.can_do(able, b"f", 0.0, 0.0)
    first, second = peer(), peer()
    job = submit(queue, first, unique=b"u", background=background)
    if running:
        assert queue.grab(able, 0.0) is job
    assert submit(queue, second, unique=b"u") is job
    assert queue.total(b"f") == 1
    assert sent(queue, second) == [(Command.JOB_CREATED, job.handle)]


def test_empty_uniques_other_functions_and_other_payloads_of_the_unique_dash_do_not_join() -> None:
    queue, client = new_queue(), peer()
    jobs = [
        submit(queue, client),
        submit(queue, client),
        submit(queue, client, b"f", b"u"),
        submit(queue, client, b"g", b"u"),
        submit(queue, client, b"f", b"-", payload=b"1"),
        submit(queue, client, b"f", b"-", payload=b"2"),
    ]
    assert len({job.handle for job in jobs}) == 6
    assert submit(queue, client, b"f", b"-", payload=b"1") is jobs[4]


def test_who_joins_gets_the_latest_data_and_status_and_then_all_that_follows() -> None:
    queue, first, second = new_queue(), peer(), peer()
    able = worker(queue, b"f")
    job = submit(queue, first, unique=b"u")
    queue.grab(able, 0.0)
    handle = job.handle
    for data in (b"old", b"new"):
        queue.progress(able, Command.WORK_DATA, handle, data)
    queue.progress(able, Command.WORK_STATUS, handle, b"3\x0010")
    submit(queue, second, unique=b"u")
    queue.progress(able, Command.WORK_WARNING, handle, b"careful")
    queue.finish(able, Command.WORK_COMPLETE, handle, b"done", 0.0)
    joined = [
        (Command.JOB_CREATED, handle),
        (Command.WORK_DATA, handle + b"\0new"),
        (Command.WORK_STATUS, handle + b"\x003\x0010"),
        (Command.WORK_WARNING, handle + b"\0careful"),
        (Command.WORK_COMPLETE, handle + b"\0done"),
    ]
    assert sent(queue, second) == joined
    assert commands(queue, first)[-2:] == [Command.WORK_WARNING, Command.WORK_COMPLETE]


# Clients that leave


def test_a_queued_job_is_kept_for_its_client_until_the_grace_time_is_over() -> None:
    queue, client = new_queue(), peer()
    job = submit(queue, client, unique=b"u")
    queue.leave(client, 100.0)
    queue.advance(100.0 + GRACE - 1)
    assert submit(queue, back := peer(), unique=b"u", now=100.0 + GRACE - 1) is job
    queue.advance(100.0 + GRACE)
    assert queue.cancel(job.handle), "its client is back: it stays"
    assert sent(queue, back) == [(Command.JOB_CREATED, job.handle)]

    lost = submit(queue, client, unique=b"u2")
    queue.leave(client, 0.0)
    queue.advance(GRACE)
    assert lost.handle not in queue.jobs
    assert queue.grab(worker(queue, b"f"), GRACE) is None


def test_a_job_that_is_handed_out_while_its_client_is_away_is_not_given_up_when_the_grace_time_ends() -> None:
    queue, client = new_queue(), peer()
    able = worker(queue, b"f")
    job = submit(queue, client, unique=b"u")
    queue.leave(client, 0.0)
    assert queue.grab(able, 1.0) is job
    queue.advance(GRACE)
    queue.finish(able, Command.WORK_COMPLETE, job.handle, b"done", GRACE + 1)
    back = peer()
    submit(queue, back, unique=b"u")
    assert sent(queue, back)[-1] == (Command.WORK_COMPLETE, job.handle + b"\0done")


def test_a_queued_job_without_unique_is_dropped_with_its_client_and_a_background_job_is_not() -> None:
    queue, client = new_queue(), peer()
    submit(queue, client)
    kept = submit(queue, client, background=True)
    queue.leave(client, 0.0)
    queue.advance(GRACE * 2)
    able = worker(queue, b"f")
    assert [queue.grab(able, 0.0), queue.grab(able, 0.0)] == [kept, None]


def test_a_job_with_another_client_or_a_background_submission_outlives_one_client() -> None:
    queue, first, second = new_queue(), peer(), peer()
    shared = submit(queue, first, unique=b"shared")
    submit(queue, second, unique=b"shared")
    also_background = submit(queue, first, unique=b"background")
    submit(queue, second, unique=b"background", background=True)
    queue.leave(first, 0.0)
    queue.advance(GRACE * 2)
    assert {shared.handle, also_background.handle} <= queue.jobs.keys()


@pytest.mark.parametrize(
    ("end", "data", "told"),
    [
        (Command.WORK_COMPLETE, b"done", b"\0done"),
        (Command.WORK_FAIL, b"", b""),
        (Command.WORK_EXCEPTION, b"why", b"\0why"),
    ],
)
def test_what_ended_unheard_is_replayed_once_to_who_submits_it_again(end: Command, data: bytes, told: bytes) -> None:
    queue, client, able = new_queue(), peer(), peer()
    queue.can_do(able, b"f", 0.0, 0.0)
    job = submit(queue, client, unique=b"u")
    queue.grab(able, 0.0)
    queue.leave(client, 0.0)
    queue.progress(able, Command.WORK_DATA, job.handle, b"data")
    queue.progress(able, Command.WORK_STATUS, job.handle, b"1\x002")
    queue.advance(GRACE * 5)
    queue.finish(able, end, job.handle, data, GRACE * 5)
    queue.advance(GRACE * 6 - 1)

    back = peer()
    submit(queue, back, unique=b"u", now=GRACE * 6 - 1)
    assert sent(queue, back) == [
        (Command.JOB_CREATED, job.handle),
        (Command.WORK_DATA, job.handle + b"\0data"),
        (Command.WORK_STATUS, job.handle + b"\x001\x002"),
        (end, job.handle + told),
    ]
    assert not queue.jobs
    assert submit(queue, back, unique=b"u").handle != job.handle


def test_what_ended_unheard_is_forgotten_after_the_grace_time() -> None:
    queue, client = new_queue(), peer()
    able = worker(queue, b"f")
    job = submit(queue, client, unique=b"u")
    queue.grab(able, 0.0)
    queue.leave(client, 0.0)
    queue.finish(able, Command.WORK_COMPLETE, job.handle, b"done", 5.0)
    queue.advance(5.0 + GRACE)
    assert not queue.jobs
    assert submit(queue, peer(), unique=b"u") is not job


def test_what_a_client_heard_or_nobody_can_ask_for_is_forgotten_at_once() -> None:
    queue, client, gone = new_queue(), peer(), peer()
    able = worker(queue, b"f")
    submit(queue, client, unique=b"heard")
    submit(queue, gone, unique=b"background", background=True)
    submit(queue, gone)
    for _ in range(3):
        job = queue.grab(able, 0.0)
        assert job is not None
        if not job.unique:
            queue.leave(gone, 0.0)
        queue.finish(able, Command.WORK_COMPLETE, job.handle, b"", 0.0)
    assert not queue.jobs


def heard(queue: JobQueue, client: Peer, now: float) -> Job:
    """A job whose result was sent to its client just now."""
    hand = worker(queue, b"f")
    job = submit(queue, client, unique=b"u")
    assert queue.grab(hand, now) is job
    queue.finish(hand, Command.WORK_COMPLETE, job.handle, b"the result", now)
    assert commands(queue, client) == [Command.JOB_CREATED, Command.WORK_COMPLETE]
    return job


def test_a_client_that_breaks_right_after_a_result_was_sent_finds_it_when_back() -> None:
    queue, client, again = new_queue(), peer(), peer()
    job = heard(queue, client, 10.0)
    queue.leave(client, 10.0 + HEARING - 0.1)
    assert submit(queue, again, unique=b"u", now=GRACE) is job
    assert sent(queue, again) == [
        (Command.JOB_CREATED, job.handle),
        (Command.WORK_COMPLETE, job.handle + b"\0the result"),
    ]
    queue.leave(again, GRACE + 1.0)
    assert submit(queue, peer(), unique=b"u", now=GRACE + 2.0) is job, "the second death is like the first"


def test_a_client_that_leaves_later_has_heard_the_result() -> None:
    queue, client = new_queue(), peer()
    job = heard(queue, client, 10.0)
    queue.advance(10.0 + HEARING)
    queue.leave(client, 10.0 + HEARING)
    assert not client.hearing
    assert submit(queue, peer(), unique=b"u", now=20.0) is not job


def test_a_client_that_stays_gets_a_new_run_however_soon_it_asks() -> None:
    queue, client = new_queue(), peer()
    job = heard(queue, client, 10.0)
    newer = submit(queue, client, unique=b"u", now=10.1)
    assert newer is not job
    queue.leave(client, 10.2)
    assert queue.find_unique(b"u") is newer, "the older result does not stand in the way of the newer run"
    queue.advance(10.0 + HEARING)
    assert queue.find_unique(b"u") is newer


def test_a_result_that_was_sent_and_not_made_use_of_is_forgotten_after_the_grace_time() -> None:
    queue, client = new_queue(), peer()
    heard(queue, client, 10.0)
    queue.leave(client, 11.0)
    queue.advance(11.0 + GRACE)
    assert not queue.jobs


def test_a_background_submission_of_what_ended_unheard_runs_it_again() -> None:
    queue, client = new_queue(), peer()
    able = worker(queue, b"f")
    job = submit(queue, client, unique=b"u")
    queue.grab(able, 0.0)
    queue.leave(client, 0.0)
    queue.finish(able, Command.WORK_COMPLETE, job.handle, b"done", 0.0)
    again = submit(queue, peer(), unique=b"u", background=True)
    assert queue.grab(able, 0.0) is again


# Workers that leave, are late, or lie


def test_a_worker_that_is_gone_fails_its_jobs_for_their_clients() -> None:
    queue, client = new_queue(), peer()
    able = worker(queue, b"f")
    job = submit(queue, client, unique=b"u")
    queue.grab(able, 0.0)
    queue.leave(able, 0.0)
    assert sent(queue, client)[-1] == (Command.WORK_FAIL, job.handle)
    assert queue.grab(worker(queue, b"f"), 0.0) is None


def test_who_is_client_and_worker_of_a_job_finds_its_failure_when_back() -> None:
    queue, both = new_queue(), peer()
    queue.can_do(both, b"f", 0.0, 0.0)
    job = submit(queue, both, unique=b"u")
    queue.grab(both, 0.0)
    queue.leave(both, 0.0)
    back = peer()
    submit(queue, back, unique=b"u")
    assert sent(queue, back) == [(Command.JOB_CREATED, job.handle), (Command.WORK_FAIL, job.handle)]


def test_a_job_that_takes_longer_than_its_worker_allowed_fails_and_its_late_end_is_ignored() -> None:
    queue, client, slow = new_queue(), peer(), peer()
    queue.can_do(slow, b"f", 5.0, 0.0)
    job = submit(queue, client)
    queue.grab(slow, 10.0)
    queue.advance(14.9)
    assert commands(queue, client) == [Command.JOB_CREATED]
    queue.advance(15.0)
    queue.finish(slow, Command.WORK_COMPLETE, job.handle, b"late", 16.0)
    assert sent(queue, client) == [(Command.WORK_FAIL, job.handle)]


def test_only_the_jobs_own_worker_is_listened_to_and_only_once() -> None:
    queue, client, stranger = new_queue(), peer(), peer()
    able = worker(queue, b"f")
    job = submit(queue, client)
    queue.grab(able, 0.0)
    queue.progress(stranger, Command.WORK_DATA, job.handle, b"forged")
    queue.finish(stranger, Command.WORK_COMPLETE, job.handle, b"forged", 0.0)
    queue.finish(able, Command.WORK_FAIL, job.handle, b"", 0.0)
    queue.finish(able, Command.WORK_COMPLETE, job.handle, b"again", 0.0)
    queue.progress(able, Command.WORK_DATA, job.handle, b"again")
    assert commands(queue, client) == [Command.JOB_CREATED, Command.WORK_FAIL]


# Cancelling and limits


def test_a_queued_job_is_cancelled_without_a_word_and_a_running_or_unknown_one_is_not() -> None:
    queue, client = new_queue(), peer()
    queued, running = submit(queue, client, b"queued"), submit(queue, client, b"f")
    queue.grab(able := worker(queue, b"f"), 0.0)
    assert [queue.cancel(each) for each in (queued.handle, running.handle, b"H:test:99", queued.handle)] == [
        True,
        False,
        False,
        False,
    ]
    assert commands(queue, client) == [Command.JOB_CREATED] * 2
    queue.can_do(able, b"queued", 0.0, 0.0)
    assert queue.grab(able, 0.0) is None


def test_a_function_with_as_many_jobs_as_allowed_takes_no_more_but_lets_clients_join() -> None:
    queue, client = new_queue(), peer()
    queue.limits[b"f"] = 2
    first = submit(queue, client, unique=b"1")
    queue.grab(worker(queue, b"f"), 0.0)
    submit(queue, client, unique=b"2")
    with pytest.raises(QueueFull):
        submit(queue, client, unique=b"3")
    assert submit(queue, peer(), unique=b"1") is first
    assert submit(queue, client, b"other")
