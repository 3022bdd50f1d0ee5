"""What can be read off a state: who is ahead, how the jobs of an item stand. Computed, never stored."""

from collections.abc import Iterator

from zuul_launcher.model.change import Subject
from zuul_launcher.model.layout import JobNode, Layout
from zuul_launcher.model.queue import Item, Queue, State

SUCCESS = "SUCCESS"
SKIPPED = "SKIPPED"


def subject_of(state: State, item: Item) -> Subject:
    return state.subjects[item.subject]


def chain(state: State, item: Item) -> list[Item]:
    """The items that this one is tested on top of, oldest first, without itself."""
    ahead: list[Item] = []
    while item.ahead is not None:
        item = state.items[item.ahead]
        ahead.append(item)
    return ahead[::-1]


def queue_holding(state: State, item: Item) -> Queue | None:
    """The change queue that the item stands in; None once it has left (its report may still be on its way)."""
    for queue in state.pipelines[item.pipeline].queues:
        if item.id in queue.items:
            return queue
    return None


def followers(state: State, queue: Queue, item: Item) -> list[Item]:
    """The items right behind: those that are tested directly on top of this one, in queue order."""
    return [other for name in queue.items if (other := state.items[name]).ahead == item.id]


def is_active(state: State, queue: Queue, item: Item) -> bool:
    """Inside the window? (0 = no limit)"""
    return queue.window == 0 or item.id in queue.items[: queue.window]


def tree_of(layout: Layout, state: State, item: Item) -> tuple[JobNode, ...]:
    """The job tree of the item's project in its pipeline, filters not applied."""
    project = layout.projects.get(subject_of(state, item).project)
    return project.pipelines.get(item.pipeline, ()) if project else ()


def places(nodes: tuple[JobNode, ...], above: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each place of a tree, depth first: the job and the jobs above it."""
    for node in nodes:
        yield node.job, above
        yield from places(node.children, (*above, node.job))


def results(layout: Layout, state: State, item: Item) -> dict[str, str | None]:
    """Job -> result, in tree order. A job that will never run, since what it waits for failed, is SKIPPED."""
    builds = item.build_set.builds
    outcome: dict[str, str | None] = {job: builds[job].result if job in builds else None for job in item.jobs}
    if item.build_set.merge == "failed" or item.needs_failed:
        return {job: result or SKIPPED for job, result in outcome.items()}
    if all(result in (None, SUCCESS) for result in outcome.values()):
        return outcome  # nothing is skipped where nothing failed
    open_places: set[str] = set()
    for job, above in places(tree_of(layout, state, item)):
        if job in outcome and all(parent in outcome and outcome[parent] in (None, SUCCESS) for parent in above):
            open_places.add(job)
        elif job in outcome and job not in builds and job not in open_places:
            outcome[job] = SKIPPED
        if job in open_places and outcome[job] == SKIPPED and job not in builds:
            outcome[job] = None  # it also stands elsewhere, where it may still run
    return outcome


def is_complete(layout: Layout, state: State, item: Item) -> bool:
    """Does every job have a result?"""
    return all(results(layout, state, item).values())


def is_voting(layout: Layout, item: Item, job: str) -> bool:
    build = item.build_set.builds.get(job)
    if build is not None:
        return build.voting
    definition = layout.jobs.get(job)  # gone, if the layout changed while the item is being reported
    return definition is None or definition.voting


def has_failed_job(layout: Layout, state: State, item: Item) -> bool:
    """Has a voting job ended with anything but SUCCESS?"""
    return any(
        result not in (None, SUCCESS) and is_voting(layout, item, job)
        for job, result in results(layout, state, item).items()
    )
