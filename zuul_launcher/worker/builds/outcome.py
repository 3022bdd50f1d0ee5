"""Result words: which one wins, which steps run after which, what an exit status says. Pure.

The worst of all that happened is the result. None is worse than any word: the build has no result, and is to be run
again elsewhere.
"""

from collections.abc import Iterable, Sequence
from typing import Final

SUCCESS: Final = "SUCCESS"
UNSTABLE: Final = "UNSTABLE"
POST_FAILURE: Final = "POST_FAILURE"
FAILURE: Final = "FAILURE"
TIMED_OUT: Final = "TIMED_OUT"
ABORTED: Final = "ABORTED"

_ORDER: tuple[str | None, ...] = (SUCCESS, UNSTABLE, POST_FAILURE, FAILURE, TIMED_OUT, ABORTED, None)
_SIGNALLED = 128  # a shell adds it to the number of the signal


def worst(results: Iterable[str | None]) -> str | None:
    """A word that is not one of ours (of a build elsewhere) is a FAILURE."""
    return max((each if each in _ORDER else FAILURE for each in results), key=_ORDER.index, default=SUCCESS)


def applies(when: Sequence[str], so_far: str | None) -> bool:
    """Whether what has these conditions runs after what has happened."""
    return any(
        condition == "always"
        or (condition == "success" and so_far == SUCCESS)
        or (condition == "failure" and so_far != SUCCESS)
        or condition == so_far
        for condition in when
    )


def shown_status(status: int) -> int:
    """Exit status as a shell shows it: ended by signal n is 128 + n."""
    return _SIGNALLED - status if status < 0 else status
