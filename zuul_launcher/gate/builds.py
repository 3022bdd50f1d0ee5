"""Builds of an item: what may be launched now, what a worker's reply means, and taking everything back."""

from collections.abc import Iterator

from zuul_launcher.gate.turn import Turn
from zuul_launcher.model.actions import Cancel, Describe, Launch
from zuul_launcher.model.events import BuildFinished, BuildLost, BuildProgress, BuildQueued, WorkerData
from zuul_launcher.model.layout import JobNode
from zuul_launcher.model.queue import Build, BuildSet, Item, Queue
from zuul_launcher.model.reading import SUCCESS, chain, tree_of

NOOP = "noop"  # the job that is never sent anywhere and succeeds at once


def launch(turn: Turn, item: Item) -> bool:
    """Launch every job whose parents have succeeded. True if any was."""
    due = dict.fromkeys(_due(item, tree_of(turn.layout, turn.state, item)))
    if not due or _is_held(turn, item):
        return False
    before = len(item.build_set.builds)
    for name in due:
        _launch_job(turn, item, name)
    return len(item.build_set.builds) != before


def _due(item: Item, nodes: tuple[JobNode, ...]) -> Iterator[str]:
    """The jobs whose parents have succeeded, and that have no build yet."""
    for node in nodes:
        if node.job not in item.jobs:
            continue  # the job does not apply, and neither does anything below it
        build = item.build_set.builds.get(node.job)
        if build is None:
            yield node.job
        elif build.result == SUCCESS:
            yield from _due(item, node.children)


def _launch_job(turn: Turn, item: Item, name: str) -> None:
    job = turn.layout.jobs[name]
    if job.mutex is not None and job.mutex in turn.state.mutexes:
        return  # tried again whenever anything happens
    item.build_set.launches += 1
    run = item.build_set.launches
    build = Build(
        uuid=turn.draw("build", item.id, item.attempt, name, run),
        job=name,
        voting=job.voting,
        run=run,
        tries=item.build_set.tries.get(name, 0) + 1,
        launched_at=turn.at,
    )
    item.build_set.builds[name] = build
    if name == NOOP:
        build.result = SUCCESS
        return
    if job.mutex is not None:
        turn.state.mutexes[job.mutex] = build.uuid
    turn.do(Launch(item=item.id, attempt=item.attempt, job=name, build=build.uuid))


def _is_held(turn: Turn, item: Item) -> bool:
    """Does an item ahead have a job without success that holds the changes behind it?"""
    for ahead in reversed(chain(turn.state, item)):
        if not ahead.live:
            return False
        for name in ahead.jobs:
            job = turn.layout.jobs.get(name)  # an item that is being reported may outlive its jobs
            if job is not None and job.hold_following_changes:
                build = ahead.build_set.builds.get(name)
                if build is None or build.result != SUCCESS:
                    return True
    return False


def _find(turn: Turn, event: BuildQueued | BuildProgress | BuildFinished | BuildLost) -> tuple[Item, Build] | None:
    """The build that a reply is about, if it is still of interest."""
    item = turn.state.items.get(event.item)
    if item is None or item.attempt != event.attempt:
        return None
    for build in item.build_set.builds.values():
        if build.uuid == event.build and build.result is None:
            return item, build
    return None


def note_queued(turn: Turn, event: BuildQueued) -> None:
    if found := _find(turn, event):
        found[1].handle = event.handle


def note_progress(turn: Turn, event: BuildProgress) -> None:
    if found := _find(turn, event):
        _, build = found
        _take(build, event.data)
        if build.started_at is None:
            build.started_at = event.at
            build.estimate = event.estimate or 0.0  # nothing is known of the job: v2 shows that as nought


def note_finished(turn: Turn, event: BuildFinished) -> None:
    """A result ends the build; none means that it is run again, as often as the job allows."""
    if not (found := _find(turn, event)):
        return
    item, build = found
    _take(build, event.data)
    build.ended_at = event.at
    _release(turn, build)
    if event.result is not None:
        build.result = event.result
    elif build.tries >= turn.layout.jobs[build.job].attempts:
        build.result = "RETRY_LIMIT"
    else:
        item.build_set.tries[build.job] = build.tries
        del item.build_set.builds[build.job]  # settling the queue launches it again


def note_lost(turn: Turn, event: BuildLost) -> None:
    """Our side lost sight of it: run it again at no cost to the job's attempts."""
    if found := _find(turn, event):
        item, build = found
        _release(turn, build)
        del item.build_set.builds[build.job]


def _take(build: Build, data: WorkerData) -> None:
    """Only what the worker did say, and the last word counts: gearmand gives a build of a lost worker to another one,
    and `stop:` goes there."""
    build.number = build.number if data.number is None else data.number
    build.manager = data.manager or build.manager
    build.url = data.url or build.url
    build.worker = data.worker or build.worker
    build.node_name = data.node_name or build.node_name
    if data.node_labels is not None:
        build.node_labels = data.node_labels


def _release(turn: Turn, build: Build) -> None:
    for name, holder in list(turn.state.mutexes.items()):
        if holder == build.uuid:
            del turn.state.mutexes[name]


def cancel_build(turn: Turn, item: Item, build: Build) -> None:
    if build.result is None:
        turn.do(Cancel(item=item.id, attempt=item.attempt, build=build.uuid))
        build.result = "CANCELED"
        _release(turn, build)


def cancel(turn: Turn, item: Item) -> None:
    """End all builds of an item that are still under way."""
    under_way = [build for build in item.build_set.builds.values() if build.result is None]
    for build in under_way:
        cancel_build(turn, item, build)
    if under_way:
        turn.do(Describe(item=item.id, attempt=item.attempt, verdict="CANCELED"))


def reset(turn: Turn, queue: Queue, item: Item) -> None:
    """Take back what was done for an item and for everything tested on top of it: a new attempt, if the old one had
    come as far as a merge."""
    if item.reporting is not None:
        return  # its outcome is on its way: too late
    _take_back(turn, item)
    taken_back = {item.id}
    for name in queue.items[queue.items.index(item.id) + 1 :]:  # nothing is tested on top of a later one
        other = turn.state.items[name]
        if other.ahead in taken_back and other.reporting is None:
            _take_back(turn, other)
            taken_back.add(name)


def _take_back(turn: Turn, item: Item) -> None:
    cancel(turn, item)
    if item.build_set.ref is not None:
        item.attempt += 1
        item.build_set = BuildSet()
