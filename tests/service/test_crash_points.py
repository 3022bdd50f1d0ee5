"""kill -9 of the scheduler at any point, in one process: two hundred plays, each with its own seed.

A play that fails is told again, verbosely, by `python tests/service/crash.py SEED`.
"""

from pathlib import Path

import pytest
from support.crash_play import Play

SEEDS = range(200)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_wherever_the_scheduler_dies(seed: int, empty_database: bytes, fast_folder: Path) -> None:
    play = Play(seed, empty_database, fast_folder)
    try:
        play.run()
    except BaseException as error:
        error.add_note(f"tell it again with: python tests/service/crash.py {seed}")
        raise
