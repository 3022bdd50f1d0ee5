"""What a step means for the metrics: from what was known before it, the event, and the state after it. Pure.

What is counted is v2's (behaviour.md §8.4): builds that end before anybody took them, and items that were removed
to be promoted, are not.
"""

from collections import Counter

from zuul_launcher.metrics import Measurement
from zuul_launcher.model.events import AnyEvent, BuildFinished, LayoutLoaded, PromoteRequested, TimerFired
from zuul_launcher.model.queue import Build, State
from zuul_launcher.service.records import Known, Place

TIMED = ("SUCCESS", "FAILURE")  # results of builds whose duration says something


def measure(before: Known, state: State, event: AnyEvent) -> list[Measurement]:
    """`before`: taken before the step; its builds are those that had not ended."""
    timers = [Measurement("zuul_events", ("timer",))] if isinstance(event, TimerFired) else []
    return [*timers, *_sizes_changed(before, state, event), *_left(before, state, event), *_build(before, event)]


def sizes(state: State) -> list[Measurement]:
    """How many items each pipeline has: for a start."""
    counts = Counter(item.pipeline for item in state.items.values())
    return [_size(name, counts[name]) for name in state.pipelines]


def _size(pipeline: str, number: int) -> Measurement:
    return Measurement("zuul_items", (pipeline,), number)


def _sizes_changed(before: Known, state: State, event: AnyEvent) -> list[Measurement]:
    if isinstance(event, LayoutLoaded):
        gone = {place.pipeline for place, _ in before.sets.values()} - set(state.pipelines)
        return [*sizes(state), *(_size(name, 0) for name in sorted(gone))]
    old = Counter(place.pipeline for place, _ in before.sets.values())
    new = Counter(item.pipeline for item in state.items.values())
    return [_size(name, new[name]) for name in sorted({*old, *new}) if old[name] != new[name]]


def _left(before: Known, state: State, event: AnyEvent) -> list[Measurement]:
    if isinstance(event, PromoteRequested):
        return []
    made = []
    for place, _ in before.sets.values():
        if place.item not in state.items:
            names = (place.pipeline, place.subject.project)
            made.append(Measurement("zuul_item_resident_seconds", names, max(event.at - place.enqueued_at, 0.0)))
            made.append(Measurement("zuul_items_left", names))
    return made


def _build(before: Known, event: AnyEvent) -> list[Measurement]:
    """Of the build that ended; one whose reply comes too late, or that nobody took, is not counted."""
    found = before.builds.get(event.build) if isinstance(event, BuildFinished) else None
    if not isinstance(event, BuildFinished) or found is None or found[1].handle is None:
        return []
    place, build = found
    result = str(event.result)
    made = [Measurement("zuul_builds", (place.pipeline, build.job, result))]
    if build.started_at is not None:
        if result in TIMED:
            seconds = max(event.at - build.started_at, 0.0)
            made.append(Measurement("zuul_build_seconds", (place.pipeline, build.job, result), seconds))
        made += _waits(place, build, event, build.started_at)
    return made


def _waits(place: Place, build: Build, event: BuildFinished, started_at: float) -> list[Measurement]:
    """How long it waited, for the job and for each label of its node but the node's own name."""
    seconds = max(started_at - build.launched_at, 0.0)
    node = event.data.node_name or build.node_name
    labels = build.node_labels if event.data.node_labels is None else event.data.node_labels
    return [
        Measurement("zuul_build_wait_seconds", (place.pipeline, build.job), seconds),
        *(Measurement("zuul_label_wait_seconds", (place.pipeline, one), seconds) for one in labels if one != node),
    ]
