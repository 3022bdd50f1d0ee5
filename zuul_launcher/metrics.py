"""Measurements on their way to statsd (v2's keys, behaviour.md §8.4) and to Prometheus. Never in anybody's way.

1. `METRICS` lists everything that is measured: its name for Prometheus, and the statsd keys that it becomes.
2. `Metrics.note` only counts and puts aside, so any thread may call it. What statsd is to get is sent by the thread
   in `run`; if that cannot keep up, or the host is away, measurements are dropped, and the log says so once.
3. Names from outside cannot break a key: each part of it is cleaned.
"""

import logging
import queue
import re
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import prometheus_client
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, Summary
from prometheus_client.exposition import generate_latest

from zuul_launcher.errors import ConfigurationError

STATSD_PORT = 8125
RESOLVED_SECONDS = 300.0  # how long the address of the statsd host is believed
RETRY_SECONDS = 10.0  # after which an address that was not found is asked for again
WAITING = 10_000  # lines that wait to be sent, at most
LONGEST_PART = 200  # characters of a name in a key
# Workers may give any result; series of Prometheus last, so only these have one of their own.
RESULTS = frozenset("SUCCESS FAILURE UNSTABLE ABORTED CANCELED LOST TIMED_OUT POST_FAILURE EXCEPTION None".split())  # noqa: SIM905
OTHER = "other"

log = logging.getLogger("zuul_launcher.metrics")


class Metric(Struct, frozen=True, kw_only=True):
    """`kind`: a count that goes up, a number of now, or seconds that something took."""

    kind: Literal["count", "gauge", "time"]
    description: str
    labels: tuple[str, ...] = ()
    statsd: tuple[str, ...] = ()  # keys, with labels in braces


METRICS = {
    "zuul_events": Metric(
        kind="count",
        description="events that Gerrit sent, and timers that fired",
        labels=("type",),
        statsd=("gerrit.event.{type}",),
    ),
    "zuul_items": Metric(
        kind="gauge",
        description="items in the pipeline",
        labels=("pipeline",),
        statsd=("zuul.pipeline.{pipeline}.current_changes",),
    ),
    "zuul_item_resident_seconds": Metric(
        kind="time",
        description="from entering the pipeline to leaving it",
        labels=("pipeline", "project"),
        statsd=("zuul.pipeline.{pipeline}.resident_time", "zuul.pipeline.{pipeline}.{project}.resident_time"),
    ),
    "zuul_items_left": Metric(
        kind="count",
        description="items that left the pipeline",
        labels=("pipeline", "project"),
        statsd=("zuul.pipeline.{pipeline}.total_changes", "zuul.pipeline.{pipeline}.{project}.total_changes"),
    ),
    "zuul_builds": Metric(
        kind="count",
        description="builds that ended",
        labels=("pipeline", "job", "result"),
        statsd=("zuul.pipeline.{pipeline}.all_jobs", "zuul.pipeline.{pipeline}.job.{job}.{result}"),
    ),
    "zuul_build_seconds": Metric(
        kind="time",
        description="from start to end of a build that succeeded or failed",
        labels=("pipeline", "job", "result"),
        statsd=("zuul.pipeline.{pipeline}.job.{job}.{result}",),
    ),
    "zuul_build_wait_seconds": Metric(
        kind="time",
        description="from launch to start of a build",
        labels=("pipeline", "job"),
        statsd=("zuul.pipeline.{pipeline}.job.{job}.wait_time",),
    ),
    "zuul_label_wait_seconds": Metric(
        kind="time",
        description="from launch to start of a build on a node with this label",
        labels=("pipeline", "label"),
        statsd=("zuul.pipeline.{pipeline}.label.{label}.wait_time",),
    ),
    "zuul_waiting_events": Metric(
        kind="gauge", description="events that the loop has not taken yet", labels=("queue",)
    ),
    "zuul_oldest_event_age_seconds": Metric(
        kind="gauge", description="age of the oldest event that was received and not worked on yet; 0: there is none"
    ),
    "zuul_outbox_pending": Metric(
        kind="gauge", description="actions that are decided and not done yet", labels=("target",)
    ),
    "zuul_parked_events": Metric(kind="gauge", description="events that could not be worked on and were put aside"),
    "zuul_connection_up": Metric(
        kind="gauge", description="1: the connection works; 0: it does not", labels=("connection",)
    ),
}


class Measurement(Struct, frozen=True):
    """One fact: `values` of the metric's labels in their order; seconds of a time, the step of a count."""

    metric: str
    values: tuple[str, ...] = ()
    value: float = 1.0


class Metrics:
    """All measurements of one scheduler. `statsd`: host and port, or None for nobody."""

    def __init__(self, statsd: tuple[str, int] | None = None) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # times of creation would double the series
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._series = {name: _series(name, metric, self.registry) for name, metric in METRICS.items()}
        self._shown: dict[str, set[tuple[str, ...]]] = {}  # by `replace`
        self._statsd = Statsd(*statsd) if statsd else None

    def note(self, measurements: Iterable[Measurement]) -> None:
        """Count them. From any thread; does not wait."""
        for measurement in measurements:
            self._count(measurement)
            if self._statsd is not None:
                for line in statsd_lines(measurement):
                    self._statsd.put(line)

    def replace(self, metric: str, values: dict[tuple[str, ...], float]) -> None:
        """Set all series of a gauge that only Prometheus gets; those that are not named are gone. From one thread."""
        series = self._series[metric]
        assert isinstance(series, Gauge)
        for labels, value in values.items():
            (series.labels(*labels) if labels else series).set(value)
        for labels in self._shown.get(metric, set()) - set(values):
            series.remove(*labels)
        self._shown[metric] = set(values)

    def exposition(self) -> bytes:
        """Everything, as Prometheus reads it (text format 0.0.4)."""
        return generate_latest(self.registry)

    def run(self, stopping: threading.Event) -> None:
        """Send to statsd until told to stop."""
        if self._statsd is not None:
            self._statsd.run(stopping)

    def _count(self, measurement: Measurement) -> None:
        labels = METRICS[measurement.metric].labels
        values = [_bounded(label, value) for label, value in zip(labels, measurement.values, strict=True)]
        whole = self._series[measurement.metric]
        series = whole.labels(*values) if labels else whole
        match series:
            case Counter():
                series.inc(measurement.value)
            case Gauge():
                series.set(measurement.value)
            case Summary():
                series.observe(measurement.value)


class Statsd:
    """Sends lines over UDP, one a packet."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._lines: queue.Queue[bytes] = queue.Queue(WAITING)
        self._address: tuple[int, Any] | None = None  # family, and what `sendto` takes
        self._ask_again_at = 0.0
        self._troubled = False

    def put(self, line: bytes) -> None:
        """Have it sent soon; it is dropped if too many wait."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._say("too many measurements wait: some are dropped")

    def run(self, stopping: threading.Event) -> None:
        """Until told to stop; what waits then is still sent."""
        while not (stopping.is_set() and self._lines.empty()):
            try:
                line = self._lines.get(timeout=0.5)
            except queue.Empty:
                continue
            self._send(line)

    def _send(self, line: bytes) -> None:
        try:
            found = self._where()
            if found is None:
                return
            family, address = found
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(line, address)
            self._troubled = False
        except (OSError, UnicodeError) as error:
            self._say(str(error))

    def _where(self) -> tuple[int, Any] | None:
        """The address, asked for now and then: hosts move. IPv4 if it has one, as v2 does."""
        now = time.monotonic()
        if now >= self._ask_again_at:
            self._ask_again_at = now + RETRY_SECONDS
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
            family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
            self._address = family, address
            self._ask_again_at = now + RESOLVED_SECONDS
        return self._address

    def _say(self, trouble: str) -> None:
        if not self._troubled:
            log.warning("statsd %s:%d: %s", self._host, self._port, trouble)
        self._troubled = True


def statsd_of(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """Host and port of STATSD_HOST and STATSD_PORT, as v2 has them; None: nobody wants to be told."""
    host, port = environment.get("STATSD_HOST"), environment.get("STATSD_PORT") or str(STATSD_PORT)
    if not host:
        return None
    if not port.isascii() or not port.isdigit() or not 1 <= int(port[:9]) <= 65535:
        raise ConfigurationError(f"STATSD_PORT={port!r} in the environment is no port: give 1 to 65535")
    return host, int(port)


def statsd_lines(measurement: Measurement) -> list[bytes]:
    """What statsd is sent: `KEY:VALUE|KIND`, times in ms."""
    metric = METRICS[measurement.metric]
    parts = {label: _part(label, value) for label, value in zip(metric.labels, measurement.values, strict=True)}
    match metric.kind:
        case "count":
            value = f"{measurement.value:g}|c"
        case "gauge":
            value = f"{measurement.value:g}|g"
        case "time":
            value = f"{int(measurement.value * 1000)}|ms"
    return [f"{key.format(**parts)}:{value}".encode() for key in metric.statsd]


def _part(label: str, value: str) -> str:
    """A name inside a key: v2's replacements, then whatever statsd would read as something else."""
    if label == "job":
        value = value.replace(".", "_")
    elif label == "project":
        value = value.replace("/", ".")
    return re.sub(r"[\s:|@#\x00-\x1f\x7f]", "_", value[:LONGEST_PART]) or "_"


def _bounded(label: str, value: str) -> str:
    """A label value of Prometheus, of which there must not be ever more."""
    if label == "result" and value not in RESULTS:
        return OTHER
    if label == "type" and not re.fullmatch(r"[a-z-]{1,40}", value):
        return OTHER
    return value[:LONGEST_PART]


def _series(name: str, metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Summary:
    kinds: dict[str, type[Counter | Gauge | Summary]] = {"count": Counter, "gauge": Gauge, "time": Summary}
    return kinds[metric.kind](name, metric.description, metric.labels, registry=registry)
