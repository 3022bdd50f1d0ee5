"""What is forgotten, and what never is."""

import logging
from pathlib import Path

import pytest
from support.build_records import EPOCH, ran, starting

from zuul_launcher.worker.definitions.job import DAY, Keep
from zuul_launcher.worker.history.history import SqlHistory
from zuul_launcher.worker.history.prune import expired, prune
from zuul_launcher.worker.places import build_folder

ENDS = [(5, EPOCH), (4, EPOCH - 1 * DAY), (3, EPOCH - 2 * DAY), (2, EPOCH - 3 * DAY)]


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (Keep(days=None, builds=None), []),
        (Keep(), []),
        (Keep(days=2), [2]),
        (Keep(days=None, builds=1), [4, 3, 2]),
        (Keep(days=1, builds=3), [3, 2]),
        (Keep(days=None, builds=0), [5, 4, 3, 2]),
    ],
)
def test_builds_expire_by_age_or_by_count(keep: Keep, gone: list[int]) -> None:
    """D97. Whichever says so first."""
    assert expired(ENDS, keep, EPOCH) == gone


def filled(root: Path, job: str, number: int) -> Path:
    """A folder as a build leaves it, one of its folders without permissions, with a link to a file of others."""
    folder = build_folder(root, job, number)
    (folder.artifacts / "deep" / "shut").mkdir(parents=True)
    folder.console.write_text("hello\n")
    (folder.artifacts / "deep" / "shut" / "file").write_text("x")
    (folder.artifacts / "link").symlink_to(root.parent / "outside")
    (folder.artifacts / "deep" / "shut").chmod(0o500)
    (folder.artifacts / "deep").chmod(0o500)
    return folder.path


def test_old_builds_go_with_their_folders_and_running_ones_stay(history: SqlHistory, tmp_path: Path) -> None:
    """D97. Of each job by its own limits; what a link leads to stays."""
    root = tmp_path / "builds"
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("of somebody else")
    history.begin(starting("a/b"))
    for _ in range(3):
        ran(history, "a/b")
    ran(history, "kept")
    folders = {number: filled(root, "a/b", number) for number in (1, 2, 3, 4)}
    other = filled(root, "kept", 1)
    limits = {"a/b": Keep(days=None, builds=1), "kept": Keep(days=None, builds=None)}

    assert prune(history, root, limits.__getitem__, EPOCH + 1000 * DAY) == [("a/b", 3), ("a/b", 2)]
    assert {number: folder.exists() for number, folder in folders.items()} == {1: True, 2: False, 3: False, 4: True}
    assert [one.number for one in history.recent("a/b")] == [4, 1]
    assert other.exists()
    assert (tmp_path / "outside" / "file").read_text() == "of somebody else"
    assert prune(history, root, limits.__getitem__, EPOCH + 1000 * DAY) == []


def test_a_build_without_a_folder_is_forgotten_too(history: SqlHistory, tmp_path: Path) -> None:
    ran(history)
    assert prune(history, tmp_path / "never made", lambda _: Keep(days=1), EPOCH + 2 * DAY) == [("unit", 1)]
    assert history.recent() == []


def test_a_folder_that_cannot_be_removed_keeps_its_build(
    history: SqlHistory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ran(history, "odd")
    ran(history, "unit")
    (tmp_path / "odd").write_text("a file where the folder of a job should be")
    with caplog.at_level(logging.WARNING):
        assert prune(history, tmp_path, lambda _: Keep(days=1), EPOCH + 2 * DAY) == [("unit", 1)]
    assert "Build 1 of odd is kept" in caplog.text
    assert [one.job for one in history.recent()] == ["odd"]


def test_a_build_that_runs_is_not_forgotten_whatever_is_asked(history: SqlHistory) -> None:
    """D97."""
    history.begin(starting())
    history.forget("unit", 1)
    assert history.find("unit", 1) is not None
