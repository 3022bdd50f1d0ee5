"""Finds what a change is tied to: all that it needs, all that needs it, and so on, as Gerrit says now.

1. A change needs its git parent, unless that has merged, and every open change of the Change-Ids in its Depends-On
   lines.
2. It is needed by changes stacked on it, and by those whose message has a Depends-On line with its Change-Id; only by
   open ones, and only by their current patch set.
3. Merged changes are tied to nothing.
4. What a change needs must not need it in turn, else it is refused (DependencyCycle). A change that needs it and has
   such a cycle, or too many footers, is left out: nobody can hold up the changes of others that way.
5. Every change is asked for once, and so is every Change-Id.
"""

import logging
from graphlib import CycleError, TopologicalSorter

from zuul_launcher.errors import RemoteRefused
from zuul_launcher.gerrit import parse
from zuul_launcher.gerrit.query import Query, term
from zuul_launcher.gerrit.record import ParseError, Record, number_of, text_of
from zuul_launcher.model.change import Change, change_key

MOST_CHANGES = 500  # tied together
MOST_FOOTERS = 100  # Depends-On lines of one commit message

Id = tuple[str, str]  # number, patch set

log = logging.getLogger(__name__)


class DependencyProblem(RemoteRefused):
    """The dependencies of a change make no sense; it can not be tested."""


class DependencyCycle(DependencyProblem):
    """A change needs itself."""


class TooManyDependencies(DependencyProblem):
    pass


class Closure:
    """One look at Gerrit. What was learned stays, so that asking again needs a new one."""

    def __init__(self, query: Query, connection: str) -> None:
        self._query = query
        self._connection = connection
        self._records: dict[str, Record | None] = {}
        self._searches: dict[tuple[str, ...], list[Record]] = {}
        self._needs: dict[str, tuple[Id, ...]] = {}

    def record(self, number: str) -> Record | None:
        """The row of a change. None: Gerrit does not know it."""
        if number not in self._records:
            if self._is_full():
                raise TooManyDependencies(f"more than {MOST_CHANGES} changes depend on each other, {number} among them")
            self._records[number] = self._query.change(number)
        return self._records[number]

    def facts(self, *starts: Id) -> tuple[Change, ...]:
        """The changes, then all that they are tied to; those that Gerrit does not know are left out.

        Raises DependencyProblem.
        """
        found: dict[Id, Change] = {}
        todo = list(starts)
        for number, _ in starts:
            self._check_needs(number)
        while todo:
            each = todo.pop(0)
            if each in found:
                continue
            number, patchset = each
            needs = self._needs_of(number)
            needed_by = self._needed_by(number)
            if change := self._change(number, patchset, needs, needed_by):
                found[each] = change
                todo += needs + needed_by
        return tuple(found.values())

    def _change(self, number: str, patchset: str, needs: tuple[Id, ...], needed_by: tuple[Id, ...]) -> Change | None:
        record = self.record(number)
        if not record:
            return None
        try:
            return parse.change(
                record,
                self._connection,
                patchset,
                needs=[change_key(self._connection, *each) for each in needs],
                needed_by=[change_key(self._connection, *each) for each in needed_by],
            )
        except ParseError as error:
            log.warning("%s: %s,%s is left out: %s", self._connection, number, patchset, error)
            return None

    def _check_needs(self, number: str) -> None:
        """Follows what a change needs to the end. Raises DependencyProblem."""
        graph: dict[str, list[str]] = {}
        todo = [number]
        while todo:
            each = todo.pop()
            if each not in graph:
                graph[each] = [needed for needed, _ in self._needs_of(each)]
                todo += graph[each]
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            path = error.args[1][:0:-1]  # the sorter tells it from what is needed to what needs it
            raise DependencyCycle(f"Dependency cycle detected: {path[0]} in [{', '.join(path)}]") from None

    def _needs_of(self, number: str) -> tuple[Id, ...]:
        if number not in self._needs:
            self._needs[number] = tuple(dict.fromkeys(self._find_needs(number)))
        return self._needs[number]

    def _find_needs(self, number: str) -> list[Id]:
        record = self.record(number)
        if record is None or text_of(record, "status") == "MERGED":
            return []
        needs = []
        parent = parse.git_parent(record)
        above = self.record(parent[0]) if parent else None
        if parent and above and text_of(above, "status") != "MERGED":
            needs.append(parent)
        footers = parse.footers(text_of(record, "commitMessage") or "")
        if len(footers) > MOST_FOOTERS:
            raise TooManyDependencies(f"the commit message of change {number} has more than {MOST_FOOTERS} Depends-On")
        for change_id in footers:
            needs += [
                each for row in self._search(term("change", change_id)) if parse.is_open(row) and (each := _id(row))
            ]
        return needs

    def is_testable(self, number: str) -> bool:
        """Do the needs of this change make sense?"""
        try:
            self._check_needs(number)
        except DependencyProblem as problem:
            log.warning("%s: %s is left out: %s", self._connection, number, problem)
            return False
        return True

    def _needed_by(self, number: str) -> tuple[Id, ...]:
        record = self.record(number)
        if record is None or text_of(record, "status") == "MERGED":
            return ()
        candidates = list(parse.git_children(record))
        change_id = text_of(record, "id") or ""
        for row in self._search(term("message", change_id)) if change_id else []:
            found = _id(row)
            if found and change_id in parse.footers(text_of(row, "commitMessage") or ""):
                candidates.append(found)
        return tuple(each for each in dict.fromkeys(candidates) if self._is_waiting(*each))

    def _is_waiting(self, number: str, patchset: str) -> bool:
        """Is this an open change, at its current patch set, that can be tested at all?"""
        if number not in self._records and self._is_full():
            log.warning("%s: %s is left out: too many changes depend on each other", self._connection, number)
            return False
        record = self.record(number)
        if not record or not parse.is_open(record) or parse.current_patchset(record) != patchset:
            return False
        return self.is_testable(number)

    def _is_full(self) -> bool:
        return len(self._records) >= MOST_CHANGES

    def _search(self, *terms: str) -> list[Record]:
        if terms not in self._searches:
            self._searches[terms] = self._query.search(*terms)
        return self._searches[terms]


def _id(row: Record) -> Id | None:
    number, patchset = number_of(row, "number"), parse.current_patchset(row)
    return (number, patchset) if number and patchset else None
