import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine
from support.build_records import EPOCH, ran, starting

from zuul_launcher.worker.history.history import DESCRIPTION_BYTES, SqlHistory
from zuul_launcher.worker.parts import History, UnknownBuild

TESTS = Path(__file__).parents[2]


def test_a_build_is_remembered_as_it_was(history: SqlHistory) -> None:
    remembering: History = history  # mypy: it is what the other rooms expect
    parameters = {"ZUUL_CHANGES": "ä\n ", "deep": {"list": [1, None, True, 1.5]}, "\ud800": "\ud800\0"}
    begun = remembering.begin(starting(parameters=parameters, worker="trusty-1_exec-3"))
    assert begun == msgspec.structs.replace(starting(parameters=parameters, worker="trusty-1_exec-3"), number=1)
    assert history.find("unit", 1) == begun

    tests = {"tests": 3, "failed": ["x"]}
    changes = {"finished_at": EPOCH + 5, "result": "UNSTABLE", "final": b'{"a": "\xff"}', "tests": tests}
    ended = msgspec.structs.replace(begun, **changes)
    history.finish(ended)
    assert history.find("unit", 1) == ended


def test_nothing_is_found_where_nothing_is(history: SqlHistory) -> None:
    ran(history)
    assert history.find("unit", 2) is None
    assert history.find("Unit", 1) is None
    assert history.find("unit", 0) is None
    assert history.find("unit", -1) is None
    assert history.find("unit", 10**30) is None
    assert history.recent("no such job") == []


def test_numbers_count_each_job_for_itself(history: SqlHistory) -> None:
    """D44. One by one, and never again, also when a build or all of them are forgotten."""
    assert [ran(history, "a").number, ran(history, "b").number, ran(history, "a").number] == [1, 1, 2]
    history.forget("a", 2)
    assert ran(history, "a").number == 3
    for number in (1, 3):
        history.forget("a", number)
    assert history.recent("a") == []
    assert ran(history, "a").number == 4


def test_names_from_outside_are_names_only(history: SqlHistory) -> None:
    names = ["a/b", "a b", "ä" * 1000, "'; DROP TABLE worker_build; --", "%", "_", "A"]
    for name in names:
        assert ran(history, name).number == 1
    assert {record.job for record in history.recent()} == set(names)
    assert [history.find(name, 1) is not None for name in names] == [True] * len(names)
    assert ran(history, "nul\0 and \ud800").number == 1  # no database takes them; a number is given all the same
    assert ran(history, "nul\0 and \ud800").number == 2


def test_numbers_survive_a_kill_at_any_moment(history: SqlHistory, dburi: str) -> None:
    """D44. Killed managers leave gaps at most: no number is told twice."""
    told: list[int] = []
    for bytes_to_read in (2, 7, 40):
        command = [sys.executable, "-m", "support.build_beginner", dburi]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0, cwd=TESTS)
        assert child.stdout is not None
        text = b""
        while len(text) < bytes_to_read and (more := child.stdout.read(bytes_to_read - len(text))):
            text += more
        child.kill()
        text += child.stdout.read()
        child.stdout.close()
        child.wait(timeout=60)
        told += [int(line) for line in text.decode().splitlines(keepends=True) if line.endswith("\n")]
        told.append(history.begin(starting()).number)
    assert len(told) >= 6
    assert told == sorted(set(told))


def test_a_hundred_executors_start_at_once(history: SqlHistory) -> None:
    """D44. Each gets a number of its own."""
    found: list[int] = []
    barrier = threading.Barrier(100)

    def start() -> None:
        barrier.wait(60)
        found.append(history.begin(starting()).number)

    threads = [threading.Thread(target=start) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == list(range(1, 101))


def test_an_estimate_is_the_mean_of_the_last_six_successful_builds(history: SqlHistory) -> None:
    """D38. In milliseconds; failed ones do not count, and a job without history has none."""
    assert history.begin(starting()).estimated is None
    ran(history, result="FAILURE", seconds=1)
    ran(history, "other", seconds=1)
    assert history.begin(starting()).estimated is None
    ran(history, seconds=1000)
    assert history.begin(starting()).estimated == 1_000_000
    for seconds in (1, 2, 3, 4, 5, 6.0015):
        ran(history, seconds=seconds)
    ran(history, result=None, seconds=1)
    begun = history.begin(starting())
    assert begun.estimated == 3500
    stored = history.find("unit", begun.number)
    assert stored is not None
    assert stored.estimated == 3500


def test_a_description_is_kept_over_the_end_of_its_build(history: SqlHistory) -> None:
    """D56. The last writer wins."""
    begun = history.begin(starting())
    history.describe("unit", 1, "<b>first</b>")
    history.describe("unit", 1, "second")
    history.finish(msgspec.structs.replace(begun, finished_at=EPOCH + 1, result="SUCCESS"))
    found = history.find("unit", 1)
    assert found is not None
    assert (found.description, found.result) == ("second", "SUCCESS")
    history.describe("unit", 1, "")
    assert history.recent()[0].description == ""


def test_a_description_of_any_size_is_taken_and_cut(history: SqlHistory) -> None:
    history.begin(starting())
    history.describe("unit", 1, "x" + "ä" * DESCRIPTION_BYTES)
    kept = history.recent()[0].description
    assert kept == "x" + "ä" * (DESCRIPTION_BYTES // 2 - 1)


def test_a_build_that_is_not_known_is_not_described(history: SqlHistory) -> None:
    for number in (1, 10**30):
        with pytest.raises(UnknownBuild, match="unit"):
            history.describe("unit", number, "x")


def test_a_unique_id_finds_its_newest_build_that_ended(history: SqlHistory) -> None:
    """D68. D69. Not one that runs, was cut off, or ended too long ago."""
    ran(history, unique="u", seconds=10)
    newest = ran(history, unique="u", seconds=20)
    ran(history, unique="v", seconds=30)
    history.begin(starting(unique="u"))
    assert history.find_unique("u", EPOCH) == newest
    assert history.find_unique("u", EPOCH + 15) == newest
    assert history.find_unique("u", EPOCH + 20) is None
    assert history.find_unique("w", EPOCH) is None
    history.interrupted(EPOCH + 100)
    assert history.find_unique("u", EPOCH) == newest


def test_recent_builds_come_newest_first(history: SqlHistory) -> None:
    for second, job in enumerate(["a", "b", "a", "a"]):
        ran(history, job, started_at=EPOCH + second)
    assert [(one.job, one.number) for one in history.recent()] == [("a", 3), ("a", 2), ("b", 1), ("a", 1)]
    assert [one.number for one in history.recent("a", limit=2)] == [3, 2]
    assert [(one.job, one.number) for one in history.recent(before=EPOCH + 2)] == [("b", 1), ("a", 1)]


def test_builds_of_a_killed_manager_are_closed_without_a_result(history: SqlHistory) -> None:
    finished = ran(history)
    running = history.begin(starting())
    history.describe("unit", running.number, "kept")
    closed = history.interrupted(EPOCH + 60)
    assert [(one.job, one.number) for one in closed] == [("unit", running.number)]
    found = history.find("unit", running.number)
    assert found is not None
    assert (found.finished_at, found.result, found.description) == (EPOCH + 60, None, "kept")
    assert history.find("unit", finished.number) == finished
    assert history.interrupted(EPOCH + 70) == []


def test_a_node_stays_offline_over_a_restart(history: SqlHistory, database: Engine) -> None:
    """D63. With its reason, until it is brought back."""
    history.set_offline("trusty-1", "asked by Gearman")
    history.set_offline("trusty-2", "first")
    history.set_offline("trusty-2", "disk \N{SNOWMAN}")
    again = SqlHistory(database)
    assert again.offline() == {"trusty-1": "asked by Gearman", "trusty-2": "disk \N{SNOWMAN}"}
    history.set_offline("trusty-1", None)
    history.set_offline("never known", None)
    assert again.offline() == {"trusty-2": "disk \N{SNOWMAN}"}
