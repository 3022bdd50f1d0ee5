"""Forget old builds: those over `keep.builds` of their job, and those that ended more than `keep.days` ago.

The files go first: after a crash in between the row is still there, and says what to remove. Builds that run are
never touched, and a number is never used again.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from zuul_launcher.remoting.trees import delete_tree
from zuul_launcher.worker.definitions.job import DAY, Keep
from zuul_launcher.worker.history.history import SqlHistory
from zuul_launcher.worker.places import build_folder

log = logging.getLogger(__name__)


def prune(history: SqlHistory, folder: Path, keep: Callable[[str], Keep], now: float) -> Sequence[tuple[str, int]]:
    """Remove what is too old; (job, number) of each build that is gone.

    `folder`: of all builds, STATE_DIR/worker/builds. `keep`: asked with the name of each job that has builds, also of
    one that is no longer defined. A folder that cannot be removed is logged, and tried again the next time.
    """
    gone = []
    for job, ends in history.ends().items():
        for number in expired(ends, keep(job), now):
            path = build_folder(folder, job, number).path
            try:
                delete_tree(str(path))
            except OSError as error:
                log.warning("Build %s of %s is kept: its folder %s cannot be removed: %s", number, job, path, error)
                continue
            history.forget(job, number)
            gone.append((job, number))
    return gone


def expired(ends: Sequence[tuple[int, float]], keep: Keep, now: float) -> Sequence[int]:
    """Numbers of the builds to forget. `ends`: (number, finished_at), the highest number first."""
    oldest = float("-inf") if keep.days is None else now - keep.days * DAY
    most = len(ends) if keep.builds is None else keep.builds
    return [number for place, (number, at) in enumerate(ends) if place >= most or at < oldest]
