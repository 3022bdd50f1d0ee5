"""What statsd and Prometheus are told; statsd over real packets on loopback."""

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import wait_until

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.metrics import METRICS, WAITING, Measurement, Metrics, statsd_lines, statsd_of

OPERATIONS = Path(__file__).parent.parent / "doc" / "operations.rst"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A statsd that only listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        found.settimeout(60)
        yield found


def shown(metrics: Metrics) -> list[str]:
    """Lines of the exposition, without comments and what is known of the process."""
    lines = metrics.exposition().decode().splitlines()
    return [line for line in lines if line.startswith("zuul_")]


@pytest.mark.parametrize(
    ("measurement", "lines"),
    [
        (Measurement("zuul_events", ("comment-added",)), ["gerrit.event.comment-added:1|c"]),
        (Measurement("zuul_items", ("gate",), 7), ["zuul.pipeline.gate.current_changes:7|g"]),
        (
            Measurement("zuul_item_resident_seconds", ("gate", "lib/alpha.x"), 1.5),
            ["zuul.pipeline.gate.resident_time:1500|ms", "zuul.pipeline.gate.lib.alpha.x.resident_time:1500|ms"],
        ),
        (
            Measurement("zuul_items_left", ("gate", "lib/alpha")),
            ["zuul.pipeline.gate.total_changes:1|c", "zuul.pipeline.gate.lib.alpha.total_changes:1|c"],
        ),
        (
            Measurement("zuul_builds", ("gate", "unit.py3", "SUCCESS")),
            ["zuul.pipeline.gate.all_jobs:1|c", "zuul.pipeline.gate.job.unit_py3.SUCCESS:1|c"],
        ),
        (
            Measurement("zuul_build_seconds", ("gate", "unit", "FAILURE"), 65.0019),
            ["zuul.pipeline.gate.job.unit.FAILURE:65001|ms"],
        ),
        (Measurement("zuul_build_wait_seconds", ("gate", "a.b"), 2), ["zuul.pipeline.gate.job.a_b.wait_time:2000|ms"]),
        (
            Measurement("zuul_label_wait_seconds", ("gate", "big"), 2),
            ["zuul.pipeline.gate.label.big.wait_time:2000|ms"],
        ),
        (Measurement("zuul_parked_events", (), 3), []),
    ],
)
def test_statsd_gets_the_keys_and_kinds_of_v2(measurement: Measurement, lines: list[str]) -> None:
    assert [line.decode() for line in statsd_lines(measurement)] == lines


@pytest.mark.parametrize("name", ["x:9|c\nevil:1|c", "a|b@c#d", "\0\x1b[2J", "", "é" * 5000])
def test_no_name_becomes_another_line_or_kind(name: str) -> None:
    for line in statsd_lines(Measurement("zuul_builds", (name, name, name))):
        key, _, value = line.decode().partition(":")
        assert value == "1|c"
        assert not re.search(r"[\s|@#:\x00-\x1f]", key)
        assert len(line) < 1432  # one packet on any network


def test_prometheus_gets_the_same_counts() -> None:
    metrics = Metrics()
    metrics.note([Measurement("zuul_builds", ("gate", "unit", "SUCCESS"))] * 2)
    metrics.note([Measurement("zuul_build_seconds", ("gate", "unit", "SUCCESS"), 1.5)])
    metrics.note([Measurement("zuul_items", ("gate",), 7), Measurement("zuul_items", ("gate",), 6)])
    assert [line for line in shown(metrics) if "gate" in line] == [
        'zuul_items{pipeline="gate"} 6.0',
        'zuul_builds_total{job="unit",pipeline="gate",result="SUCCESS"} 2.0',
        'zuul_build_seconds_count{job="unit",pipeline="gate",result="SUCCESS"} 1.0',
        'zuul_build_seconds_sum{job="unit",pipeline="gate",result="SUCCESS"} 1.5',
    ]


def test_names_cannot_break_what_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.note([Measurement("zuul_builds", ('x"} 1\nevil 2', "unit", "SUCCESS"))])
    assert [line for line in shown(metrics) if "evil" in line] == [
        'zuul_builds_total{job="unit",pipeline="x\\"} 1\\nevil 2",result="SUCCESS"} 1.0'
    ]


def test_results_and_events_that_anybody_may_make_up_share_one_series() -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.note([Measurement("zuul_builds", ("gate", "unit", f"result {number}"))])
        metrics.note([Measurement("zuul_events", (f"event {number}",))])
    assert [line for line in shown(metrics) if "other" in line] == [
        'zuul_events_total{type="other"} 50.0',
        'zuul_builds_total{job="unit",pipeline="gate",result="other"} 50.0',
    ]


def test_series_that_are_not_named_any_more_are_gone() -> None:
    metrics = Metrics()
    metrics.replace("zuul_outbox_pending", {("merger",): 2, ("gearman",): 1})
    metrics.replace("zuul_outbox_pending", {("merger",): 3})
    metrics.replace("zuul_parked_events", {(): 4})
    assert [line for line in shown(metrics) if re.match("zuul_(outbox|parked)", line)] == [
        'zuul_outbox_pending{target="merger"} 3.0',
        "zuul_parked_events 4.0",
    ]


def test_what_is_noted_arrives_one_line_a_packet_and_all_of_it_before_the_end(listener: socket.socket) -> None:
    metrics = Metrics(("localhost", listener.getsockname()[1]))
    metrics.note([Measurement("zuul_builds", ("gate", "unit", "SUCCESS"))])
    stopping = threading.Event()
    thread = threading.Thread(target=metrics.run, args=(stopping,))
    thread.start()
    received = [listener.recv(2000), listener.recv(2000)]
    metrics.note([Measurement("zuul_items", ("gate",), 1)])
    stopping.set()
    thread.join(60)
    assert not thread.is_alive()
    received.append(listener.recv(2000))
    assert received == [
        b"zuul.pipeline.gate.all_jobs:1|c",
        b"zuul.pipeline.gate.job.unit.SUCCESS:1|c",
        b"zuul.pipeline.gate.current_changes:1|g",
    ]


def test_a_statsd_that_cannot_be_found_is_told_once_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics(("statsd.invalid", 8125))
    stopping = threading.Event()
    thread = threading.Thread(target=metrics.run, args=(stopping,))
    thread.start()
    for number in range(100):
        metrics.note([Measurement("zuul_items", ("gate",), number)])
    wait_until(lambda: caplog.messages, what="a warning")
    stopping.set()
    thread.join(60)
    assert len(caplog.messages) == 1
    assert "statsd statsd.invalid:8125" in caplog.messages[0]
    assert 'zuul_items{pipeline="gate"} 99.0' in shown(metrics)


def test_when_nothing_can_be_sent_no_more_than_a_limit_waits(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics(("127.0.0.1", 9))
    metrics.note([Measurement("zuul_items", ("gate",), 1)] * (WAITING + 100))
    assert ["dropped" in message for message in caplog.messages] == [True]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"STATSD_PORT": "9999"}, None),
        ({"STATSD_HOST": ""}, None),
        ({"STATSD_HOST": "stats"}, ("stats", 8125)),
        ({"STATSD_HOST": "stats", "STATSD_PORT": ""}, ("stats", 8125)),
        ({"STATSD_HOST": "stats", "STATSD_PORT": "9999"}, ("stats", 9999)),
    ],
)
def test_the_environment_says_where_statsd_is(environment: dict[str, str], expected: tuple[str, int] | None) -> None:
    assert statsd_of(environment) == expected


@pytest.mark.parametrize("port", ["x", "0", "65536", "-1", "8125 ", "9" * 5000])
def test_a_port_that_is_none_is_a_mistake(port: str) -> None:
    with pytest.raises(ConfigurationError, match="STATSD_PORT"):
        statsd_of({"STATSD_HOST": "stats", "STATSD_PORT": port})


def test_the_manual_lists_every_metric_and_every_key() -> None:
    text = OPERATIONS.read_text()
    names = {name + ("_total" if metric.kind == "count" else "") for name, metric in METRICS.items()}
    keys = {re.sub(r"{(\w+)}", lambda found: found[1].upper(), key) for one in METRICS.values() for key in one.statsd}
    assert {name for name in names | keys if f"``{name}``" not in text} == set()
