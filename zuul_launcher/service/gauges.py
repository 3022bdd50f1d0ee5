"""What Prometheus is told beside v2's counts: how much waits, and what is away. Looked at now and then, by a thread."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from zuul_launcher.db.backlog import backlog
from zuul_launcher.errors import RemoteUnavailable
from zuul_launcher.metrics import Metrics


@dataclass(frozen=True)
class Outlook:
    """What the scheduler itself knows of. Asked from the thread of the gauges."""

    lengths: Callable[[], tuple[int, int]]  # triggers and results that wait
    connections: Callable[[], dict[str, bool]]  # name -> does it work?


def watch(
    metrics: Metrics,
    engine: Engine,
    outlook: Outlook,
    *,
    clock: Callable[[], float],
    stopping: threading.Event,
    seconds: float,
) -> None:
    """Every so many seconds, until told to stop."""
    while not stopping.is_set():
        look(metrics, engine, outlook, clock())
        stopping.wait(seconds)


def look(metrics: Metrics, engine: Engine, outlook: Outlook, now: float) -> None:
    triggers, results = outlook.lengths()
    metrics.replace("zuul_waiting_events", {("trigger",): triggers, ("result",): results})
    connections = outlook.connections()
    try:
        waiting = backlog(engine)
    except RemoteUnavailable:
        connections["database"] = False
    else:
        connections["database"] = True
        oldest = now if waiting.oldest_received is None else waiting.oldest_received
        metrics.replace("zuul_oldest_event_age_seconds", {(): max(now - oldest, 0.0)})
        metrics.replace("zuul_parked_events", {(): waiting.parked})
        metrics.replace("zuul_outbox_pending", {(target,): number for target, number in waiting.pending.items()})
    metrics.replace("zuul_connection_up", {(name,): float(works) for name, works in connections.items()})
