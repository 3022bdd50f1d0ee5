"""Asks Gerrit about changes with `gerrit query`.

Its index may lag behind: right after a write a change may be missing from the answer. Who has a reason to expect it
asks again (see `resolve`). Source: Gerrit's page "gerrit query"; paging of 2.9 and later, and of before.
"""

import re
from collections.abc import Callable, Iterator

from zuul_launcher.errors import RemoteRefused
from zuul_launcher.gerrit.commandline import quote
from zuul_launcher.gerrit.record import ParseError, Record, load, number_of, text_of
from zuul_launcher.gerrit.ssh import Finished

ALL_ROWS = 5000  # more changes than these are not read in one search
DETAILS = (
    "--all-approvals --comments --commit-message --current-patch-set"
    " --dependencies --files --patch-sets --submit-records"
)
HISTORY = "--all-approvals --comments --commit-message --current-patch-set --patch-sets"

_PLAIN = re.compile(r"[A-Za-z0-9@_+./-]+")
_QUOTABLE = re.compile(r'[^"\\{}\x00-\x1f]+')
_SORT_KEY = re.compile(r"[0-9A-Za-z]+")


def term(operator: str, text: str) -> str:
    """One term of a query, quoted for the query language. Raises RemoteRefused for what that can not say."""
    if _PLAIN.fullmatch(text):
        return f"{operator}:{text}"
    if not _QUOTABLE.fullmatch(text):
        raise RemoteRefused(f"{operator} {text!r} can not be asked for")
    return f'{operator}:"{text}"'


class Query:
    """Questions to one Gerrit; `run` is `ssh.Commands.run` of the calling thread.

    All raise RemoteUnavailable, and RemoteRefused with Gerrit's words.
    """

    def __init__(self, run: Callable[[str], Finished]) -> None:
        self._run = run

    def change(self, number: str) -> Record | None:
        """Everything about one change. None: Gerrit does not know it, shows it to nobody, or not yet."""
        rows, _ = self._rows(f"gerrit query --format json {DETAILS} {int(number)}")
        return next((row for row in rows if number_of(row, "number") == number), None)

    def search(self, *terms: str) -> list[Record]:
        """Rows with message and current patch set of what matches all terms (see `term`), in Gerrit's order."""
        return list(self.pages("--commit-message --current-patch-set", terms))

    def history(self, *terms: str) -> Iterator[Record]:
        """Rows with all patch sets, approvals and comments, latest update first. Pages are read as needed."""
        return self.pages(HISTORY, (*terms, "limit:100"))

    def pages(self, options: str, terms: tuple[str, ...]) -> Iterator[Record]:
        command = f"gerrit query --format json {options} {' '.join(quote(each) for each in terms)}"
        count, resume = 0, ""
        while count < ALL_ROWS:
            rows, more = self._rows(command + resume)
            yield from rows
            count += len(rows)
            if not rows or more == "no":
                return
            if more == "yes":
                resume = f" -S {count}"
            else:  # before 2.9
                key = text_of(rows[-1], "sortKey") or ""
                if not _SORT_KEY.fullmatch(key):
                    return
                resume = f" resume_sortkey:'{key}'"

    def _rows(self, command: str) -> tuple[list[Record], str]:
        """Runs a query; returns its rows, and whether there are more: yes, no, or "" if Gerrit does not say."""
        finished = self._run(command)
        if finished.status != 0:
            raise RemoteRefused(f"{command}: {finished.stderr.strip() or finished.status}")
        rows, more = [], ""
        for line in finished.stdout.splitlines():
            try:
                row = load(line)
            except ParseError as error:
                raise RemoteRefused(f"{command}: {error}") from None
            match row.get("type"):
                case "stats":
                    said = row.get("moreChanges")
                    more = "" if said is None else "yes" if said is True else "no"
                case "error":
                    raise RemoteRefused(f"{command}: {text_of(row, 'message')}")
                case _:
                    rows.append(row)
        return rows, more
