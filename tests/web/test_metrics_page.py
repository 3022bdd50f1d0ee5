"""Measurements for Prometheus, over HTTP."""

import httpx

from zuul_launcher.metrics import Measurement, Metrics
from zuul_launcher.web.app import make_app
from zuul_launcher.web.board import Board
from zuul_launcher.web.serve import Page


def get(page: Page, path: str) -> httpx.Response:
    return httpx.get(page.url.rstrip("/") + path, timeout=30, trust_env=False)


def test_the_page_serves_what_was_measured_up_to_now() -> None:
    metrics = Metrics()
    with Page(make_app(Board(), clock=lambda: 0.0, metrics=metrics.exposition)) as page:
        metrics.note([Measurement("zuul_items", ("gate",), 3)])
        answer = get(page, "/metrics")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert 'zuul_items{pipeline="gate"} 3.0\n' in answer.text
        assert "process_resident_memory_bytes" in answer.text
        metrics.note([Measurement("zuul_items", ("gate",), 4)])
        assert 'zuul_items{pipeline="gate"} 4.0\n' in get(page, "/metrics").text


def test_without_metrics_there_is_nothing_there() -> None:
    with Page(make_app(Board(), clock=lambda: 0.0)) as page:
        assert get(page, "/metrics").status_code == 404
