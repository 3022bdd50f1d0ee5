"""Regular expressions as sites of Python 2 wrote them, made ready for the `re` of today.

Python 2 took inline flags such as `(?i)` anywhere and applied them to the whole; today they must stand in front.
"""

import re
import warnings
from functools import lru_cache

_FLAGS = re.compile(r"\(\?([aimsux]+)\)")


class InvalidPattern(ValueError):
    """The text is no regular expression; says why."""


@lru_cache(maxsize=50_000)
def normal_pattern(text: str) -> str:
    """The pattern itself, flags in front. Raises InvalidPattern."""
    try:
        _compile(text)
        return text
    except InvalidPattern:
        moved = _flags_in_front(text)
        if moved == text:
            raise
    _compile(moved)
    return moved


def _compile(text: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what may mean something else in a later Python
            re.compile(text)
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        raise InvalidPattern(str(error)) from error


def _flags_in_front(text: str) -> str:
    flags, rest, position, in_class = "", "", 0, False
    while position < len(text):
        found = None if in_class else _FLAGS.match(text, position)
        if found:
            flags += found[1]
            position = found.end()
            continue
        step = 2 if text[position] == "\\" else 1
        if not in_class and text[position] == "[":
            in_class = True
            step = (
                3 if text[position + 1 : position + 3] == "^]" else 2 if text[position + 1 : position + 2] == "]" else 1
            )
        elif in_class and text[position] == "]":
            in_class = False
        rest += text[position : position + step]
        position += step
    return f"(?{''.join(sorted(set(flags)))}){rest}" if flags else text
