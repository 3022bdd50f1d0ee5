"""The gate is this one function. Apply the event, then settle all queues; return what is to be done about it."""

from typing import assert_never

from zuul_launcher.gate.builds import note_finished, note_lost, note_progress, note_queued
from zuul_launcher.gate.facts import forget_unused, learn
from zuul_launcher.gate.reconfigure import reconfigure
from zuul_launcher.gate.refuse import refuse
from zuul_launcher.gate.requests import dequeue_on_request, enqueue, promote
from zuul_launcher.gate.settle import settle
from zuul_launcher.gate.triggers import note_siblings, note_timer, note_triggered, tell_children
from zuul_launcher.gate.turn import Turn
from zuul_launcher.gate.verdict import note_reported
from zuul_launcher.model.actions import AnyAction
from zuul_launcher.model.events import (
    AnyEvent,
    BuildFinished,
    BuildLost,
    BuildProgress,
    BuildQueued,
    DequeueRequested,
    EnqueueRequested,
    FactsSeen,
    ItemRefused,
    LayoutLoaded,
    LayoutRefused,
    Merged,
    PromoteRequested,
    Reported,
    SiblingsSeen,
    TimerFired,
    Triggered,
)
from zuul_launcher.model.layout import Layout
from zuul_launcher.model.queue import State


def step(state: State, layout: Layout, event: AnyEvent) -> list[AnyAction]:
    """Take one event, change the state, return what to do about it.

    layout: the one that the state goes by; with `LayoutLoaded`, the new one.
    """
    state.sequence += 1
    turn = Turn(state, layout, event.at)
    _apply(turn, event)
    tell_children(turn)
    settle(turn)
    forget_unused(state)
    return turn.actions


def _apply(turn: Turn, event: AnyEvent) -> None:
    match event:
        case Triggered():
            note_triggered(turn, event)
        case TimerFired():
            note_timer(turn, event)
        case SiblingsSeen():
            note_siblings(turn, event)
        case FactsSeen():
            learn(turn.state, event.facts)
        case Merged():
            _note_merged(turn, event)
        case BuildQueued():
            note_queued(turn, event)
        case BuildProgress():
            note_progress(turn, event)
        case BuildFinished():
            note_finished(turn, event)
        case BuildLost():
            note_lost(turn, event)
        case Reported():
            note_reported(turn, event)
        case ItemRefused():
            refuse(turn, event)
        case EnqueueRequested():
            enqueue(turn, event)
        case DequeueRequested():
            dequeue_on_request(turn, event)
        case PromoteRequested():
            promote(turn, event)
        case LayoutLoaded():
            reconfigure(turn, event.layout)
        case LayoutRefused():
            turn.state.layout_errors = event.errors
        case _:
            assert_never(event)


def _note_merged(turn: Turn, event: Merged) -> None:
    item = turn.state.items.get(event.item)
    if item is None or item.attempt != event.attempt or item.build_set.merge != "asked":
        return
    item.build_set.merge = "done" if event.ok else "failed"
    item.build_set.commit = event.commit
    item.build_set.zuul_url = event.zuul_url
    item.build_set.conflicts = event.conflicts
    item.build_set.merge_error = event.error
