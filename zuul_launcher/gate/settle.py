"""The pass over a queue, head to tail: each item is tested on top of the nearest non-failing item (NNFI) ahead of it.

Repeated until nothing changes: what happens to an item ahead decides what the ones behind have to do.
"""

from zuul_launcher.gate.admit import needed, subjects_in
from zuul_launcher.gate.builds import launch, reset
from zuul_launcher.gate.order import dequeue, move, sweep
from zuul_launcher.gate.turn import Turn
from zuul_launcher.gate.verdict import report
from zuul_launcher.model.actions import Merge
from zuul_launcher.model.change import Change
from zuul_launcher.model.layout import Pipeline
from zuul_launcher.model.queue import Item, Queue
from zuul_launcher.model.reading import (
    chain,
    followers,
    has_failed_job,
    is_active,
    is_complete,
    queue_holding,
    subject_of,
)

NEEDED_IS_FAILING = "a needed change is failing"
CONFLICT = "it has a merge conflict"
NOT_PREPARED = "it could not be prepared for testing"
JOB_FAILED = "at least one job failed"
NOBODY_BEHIND = "is a non-live item with no items behind"


def settle(turn: Turn) -> None:
    """Work all queues of all pipelines, in layout order, until a pass changes nothing."""
    changed = True
    while changed:
        changed = False
        for name, here in turn.state.pipelines.items():
            for queue in here.queues:
                changed = _settle_queue(turn, turn.pipeline(name), queue) or changed
    sweep(turn)


def _settle_queue(turn: Turn, pipeline: Pipeline, queue: Queue) -> bool:
    changed = False
    nnfi: str | None = None
    present = subjects_in(turn, queue)
    for item in list(present.values()):
        if item.reporting is not None:
            # What it is tested with is decided. If it is going to land, the ones behind build on it.
            nnfi = item.id if item.reporting == "success" else nnfi
        elif _leaves_early(turn, pipeline, queue, item, present):
            del present[item.subject]
            changed = True
        else:
            item_changed, failing = _settle_item(turn, pipeline, queue, item, nnfi, present)
            changed = changed or item_changed
            if item.live and not failing:
                nnfi = item.id
    return changed


def _leaves_early(turn: Turn, pipeline: Pipeline, queue: Queue, item: Item, present: dict[str, Item]) -> bool:
    """Without a place in line for its own verdict: no jobs any more, or a change that it needs is gone for good."""
    if item.live and not item.jobs:
        reset(turn, queue, item)
        dequeue(turn, queue, item, "none of its jobs apply")
        return True
    missing, reason = needed(turn, pipeline, queue, subject_of(turn.state, item), present)
    if not missing and not reason:
        return False
    reset(turn, queue, item)
    item.needs_failed = True
    if item.live:
        report(turn, item)
    dequeue(turn, queue, item, reason or "a change that it needs is not in the queue any more")
    return True


def _settle_item(
    turn: Turn, pipeline: Pipeline, queue: Queue, item: Item, nnfi: str | None, present: dict[str, Item]
) -> tuple[bool, bool]:
    """(something changed, the item is failing)"""
    changed = False
    reasons: list[str] = []
    ahead = turn.state.items[item.ahead] if item.ahead is not None else None
    ahead_id = ahead.id if ahead is not None and ahead.live else None
    if _needs_failing(turn, pipeline, item, present):
        reasons.append(NEEDED_IS_FAILING)
        changed = item.build_set.ref is not None
        reset(turn, queue, item)
    else:
        if ahead_id != nnfi:
            reset(turn, queue, item)
            move(turn, queue, item, nnfi)
            ahead_id = nnfi
            changed = True
        if is_active(turn.state, queue, item):
            changed = _advance(turn, item) or changed
        if item.build_set.merge == "failed":
            reasons.append(NOT_PREPARED if item.build_set.merge_error else CONFLICT)
    if item.live and has_failed_job(turn.layout, turn.state, item) and item.build_set.merge != "failed":
        reasons.append(JOB_FAILED)
    if not item.live and not followers(turn.state, queue, item):
        dequeue(turn, queue, item, NOBODY_BEHIND)
        return True, True
    if not reasons and item.build_set.bypassed:
        reset(turn, queue, item)  # it had failed, others landed past it, and now it is to be tested after all
        changed = True
    done = item.live and ahead_id is None and is_complete(turn.layout, turn.state, item)
    if done and (reasons or not _somebody_lands(turn, pipeline, queue)):
        report(turn, item)
    item.build_set.failing_reasons = tuple(reasons)
    return changed, bool(reasons)


def _needs_failing(turn: Turn, pipeline: Pipeline, item: Item, present: dict[str, Item]) -> bool:
    """Is a change that it needs, and that stands in this queue, failing?"""
    subject = subject_of(turn.state, item)
    if pipeline.kind != "dependent" or not isinstance(subject, Change):
        return False
    return any(key in present and present[key].build_set.failing_reasons for key in subject.needs)


def _advance(turn: Turn, item: Item) -> bool:
    """Ask for the merge, or launch what can be launched."""
    build_set = item.build_set
    if build_set.merge == "done":
        return launch(turn, item)
    if build_set.merge == "" and item.live:
        ahead = chain(turn.state, item)
        for other in (*ahead, item):
            if other.build_set.ref is None:
                other.build_set.ref = "Z" + turn.draw("ref", other.id, other.attempt)
        build_set.ahead = tuple(other.id for other in ahead)
        build_set.merge = "asked"
        turn.do(Merge(item=item.id, attempt=item.attempt))
        return True
    return False


def _somebody_lands(turn: Turn, pipeline: Pipeline, queue: Queue) -> bool:
    """Is a change of this queue, or one that a new layout took out of the pipeline, being submitted right now? Then
    the ground moves under every other one."""
    return pipeline.kind == "dependent" and any(
        other.reporting == "success"
        and other.pipeline == pipeline.name
        and (other.id in queue.items or queue_holding(turn.state, other) is None)
        for other in turn.state.items.values()
    )
