"""Which paths a pattern means, as Ant writes them: `*` and `?` inside a name, `**` as a name for any number of folders.

Everything else is literal. A pattern is walked name by name, so that folders in which nothing can match are never
opened, and no pattern takes more than linear time a name. Runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import FrozenSet, Tuple  # noqa: UP035 - evaluated on Python 3.8

Place = FrozenSet[int]  # noqa: UP006 - evaluated on Python 3.8
Places = Tuple[Place, ...]  # noqa: UP006 - evaluated on Python 3.8


@dataclass(frozen=True)
class Glob:
    """One pattern, as the names between its slashes. A place is the set of the names that may come next."""

    names: tuple[str, ...]

    def start(self) -> Place:
        return self._with_skips({0})

    def enter(self, place: Place, name: str) -> Place:
        """The place after one more name of a path."""
        found = set()
        for index in place:
            if index == len(self.names):
                continue
            if self.names[index] == "**":
                found.add(index)
            elif matches_name(self.names[index], name):
                found.add(index + 1)
        return self._with_skips(found)

    def is_match(self, place: Place) -> bool:
        return len(self.names) in place

    def _with_skips(self, indexes: set[int]) -> Place:
        """`**` may stand for no folder at all."""
        found = set(indexes)
        for index in indexes:
            while index < len(self.names) and self.names[index] == "**":
                index += 1
                found.add(index)
        return frozenset(found)


@dataclass(frozen=True)
class Selection:
    """What matches one of `includes` and none of `excludes`."""

    includes: tuple[Glob, ...]
    excludes: tuple[Glob, ...] = ()

    def start(self) -> tuple[Places, Places]:
        return tuple(each.start() for each in self.includes), tuple(each.start() for each in self.excludes)

    def enter(self, places: tuple[Places, Places], name: str) -> tuple[Places, Places]:
        included, excluded = places
        return (
            tuple(glob.enter(included[index], name) for index, glob in enumerate(self.includes)),
            tuple(glob.enter(excluded[index], name) for index, glob in enumerate(self.excludes)),
        )

    def is_match(self, places: tuple[Places, Places]) -> bool:
        included = any(glob.is_match(places[0][index]) for index, glob in enumerate(self.includes))
        return included and not self.is_excluded(places)

    def is_excluded(self, places: tuple[Places, Places]) -> bool:
        return any(glob.is_match(places[1][index]) for index, glob in enumerate(self.excludes))

    def goes_on(self, places: tuple[Places, Places]) -> bool:
        """Whether anything below can match: a folder that is excluded itself is excluded with all that is in it."""
        return any(places[0]) and not self.is_excluded(places)


def parse(pattern: str) -> Glob:
    """A pattern relative to some folder; `logs/` is `logs/**`. ValueError for one that leads out of the folder."""
    if pattern.startswith("/") or "\0" in pattern or not pattern:
        raise ValueError(f"the pattern {pattern!r} is not relative to a folder")
    names = tuple(name for name in pattern.split("/") if name not in ("", "."))
    if ".." in names or not names:
        raise ValueError(f"the pattern {pattern!r} names no path inside a folder")
    return Glob((*names, "**") if pattern.endswith("/") else names)


def select(includes: Iterable[str], excludes: Iterable[str] = ()) -> Selection:
    """ValueError for a pattern that leads out of the folder. One pattern is one text in a list, never a bare text."""
    if isinstance(includes, str) or isinstance(excludes, str):
        raise TypeError("patterns come as a list: ['**/*.xml'], not '**/*.xml'")
    return Selection(tuple(parse(each) for each in includes), tuple(parse(each) for each in excludes))


def matches_name(pattern: str, name: str) -> bool:
    """Whether one name matches, in at most len(pattern) * len(name) steps."""
    at, star, retry = 0, -1, 0
    position = 0
    while position < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, retry = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[position]):
            at, position = at + 1, position + 1
        elif star >= 0:
            retry += 1
            at, position = star + 1, retry
        else:
            return False
    return all(character == "*" for character in pattern[at:])
