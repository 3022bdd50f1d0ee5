"""Cron times."""

from datetime import datetime

import pytest

from zuul_launcher.cron import next_time

START = datetime(2026, 3, 4, 5, 6, 7).timestamp()  # a Wednesday


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("0 6 * * *", datetime(2026, 3, 4, 6, 0)),
        ("*/5 * * * *", datetime(2026, 3, 4, 5, 10)),
        ("* * * * * */10", datetime(2026, 3, 4, 5, 6, 10)),
        ("0 0 1 5 *", datetime(2026, 5, 1)),
        ("0 0 * * sun", datetime(2026, 3, 8)),
        ("0 0 * * 0", datetime(2026, 3, 8)),
    ],
)
def test_the_next_time_that_fits(time: str, expected: datetime) -> None:
    assert next_time(time, START) == expected.timestamp()


@pytest.mark.parametrize("time", ["", "* * * *", "99 * * * *", "a b c d e", "0 0 31 2 *", "* * * * * * *"])
def test_what_is_no_time_is_said(time: str) -> None:
    with pytest.raises(ValueError):
        next_time(time, START)
