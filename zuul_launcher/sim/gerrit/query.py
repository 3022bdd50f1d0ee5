"""`gerrit query`: finds changes and prints their records. Pure.

Operators: a number, a Change-Id, change:, commit:, message:, project:, branch:, topic:, owner:, status:, is:, limit:
and, in old dialects, resume_sortkey:; joined by blanks, AND, OR, NOT, `-` and parentheses; a value may stand in
double quotes or braces. Any other word is looked for in the commit message. Answers start with what was updated last.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from zuul_launcher.sim.gerrit.commandline import parse
from zuul_launcher.sim.gerrit.model import Change, Refused
from zuul_launcher.sim.gerrit.records import Json, Recorder, comments, sort_key, submit_records

FLAGS = {
    "--all-approvals",
    "--comments",
    "--commit-message",
    "--current-patch-set",
    "--dependencies",
    "--files",
    "--patch-sets",
    "--submit-records",
    "--all-reviewers",
}
VALUED = {"--format", "--start"}
SHORT = {"-S": "--start"}

Test = Callable[[Change], bool]
TOKEN = re.compile(r'\s*(\(|\)|-(?=\S)|(?:[A-Za-z_]+:)?(?:"[^"]*"|\{[^}]*\}|[^\s()]+))')


class NotUnderstood(Exception):
    """The query is wrong; the text is Gerrit's."""


@dataclass
class Search:
    """A query that was read: what to keep, and which page."""

    test: Test
    limit: int


def answer(words: list[str], changes: Iterable[Change], recorder: Recorder) -> list[Json]:
    """Runs `gerrit query WORDS` and returns the rows. Raises Refused for a wrong command line."""
    parsed = parse(words, flags=FLAGS, valued=VALUED, short=SHORT)
    if not parsed.arguments:
        raise Refused('Argument "QUERY" is required')
    if parsed.value("--format").lower() != "json":
        raise Refused(f'"{parsed.value("--format")}" is not a valid value for "--format"')
    known = list(changes)
    try:
        search = read(" ".join(parsed.arguments), recorder.dialect.query_limit, sort_keys=recorder.dialect.sort_keys)
    except NotUnderstood as error:
        return [{"type": "error", "message": str(error)}]
    found = sorted(filter(search.test, known), key=sort_key, reverse=True)
    start = int(parsed.value("--start") or 0)
    page = found[start : start + search.limit]
    rows = [_row(change, parsed.flags, known, recorder) for change in page]
    statistics: Json = {"type": "stats", "rowCount": len(page), "runTimeMilliseconds": 1}
    if not recorder.dialect.sort_keys:
        statistics["moreChanges"] = len(found) > start + len(page)
    return [*rows, statistics]


def _row(change: Change, flags: set[str], known: list[Change], recorder: Recorder) -> Json:
    row = recorder.change_in_answer(change, commit_message="--commit-message" in flags)
    details = {"approvals": "--all-approvals" in flags, "files": "--files" in flags}
    if "--comments" in flags:
        row["comments"] = comments(change)
    if "--current-patch-set" in flags:
        row["currentPatchSet"] = recorder.patch_set(change, change.current, approvals=True, files=details["files"])
    if "--patch-sets" in flags:
        row["patchSets"] = [recorder.patch_set(change, patch_set, **details) for patch_set in change.patch_sets]
    if "--dependencies" in flags:
        row |= recorder.dependencies(change, known)
    if "--submit-records" in flags:
        row["submitRecords"] = submit_records(change)
    return row


def read(text: str, query_limit: int, *, sort_keys: bool = False) -> Search:
    """Reads a query. Raises NotUnderstood."""
    tokens = _tokens(text)
    search = Search(lambda change: True, query_limit)
    search.test = _alternatives(tokens, search, sort_keys)
    if tokens:
        raise NotUnderstood(f"Unexpected {tokens[0]}")
    return search


def _tokens(text: str) -> list[str]:
    tokens = []
    at = 0
    while match := TOKEN.match(text, at):
        tokens.append(match[1])
        at = match.end()
    return tokens


def _alternatives(tokens: list[str], search: Search, sort_keys: bool) -> Test:
    tests = [_together(tokens, search, sort_keys)]
    while tokens and tokens[0] == "OR":
        tokens.pop(0)
        tests.append(_together(tokens, search, sort_keys))
    return lambda change: any(test(change) for test in tests)


def _together(tokens: list[str], search: Search, sort_keys: bool) -> Test:
    tests: list[Test] = []
    while tokens and tokens[0] not in ("OR", ")"):
        word = tokens.pop(0)
        if word == "AND":
            continue
        is_negated = word in ("-", "NOT")
        if is_negated and tokens:
            word = tokens.pop(0)
        if word == "(":
            test = _alternatives(tokens, search, sort_keys)
            if not tokens or tokens.pop(0) != ")":
                raise NotUnderstood("missing )")
        else:
            test = _term(word, search, sort_keys)
        tests.append(_not(test) if is_negated else test)
    return lambda change: all(test(change) for test in tests)


def _not(test: Test) -> Test:
    return lambda change: not test(change)


def _term(word: str, search: Search, sort_keys: bool) -> Test:
    operator, colon, value = word.partition(":")
    if not colon:
        operator, value = "", word
    if len(value) > 1 and value[0] + value[-1] in ('""', "{}"):
        value = value[1:-1]
    match operator:
        case "" if re.fullmatch(r"[0-9]+|I[0-9a-f]{4,40}|.+~.+~I[0-9a-f]{40}", value):
            return _is_change(value)
        case "" | "message":
            return _says(value)
        case "change":
            return _is_change(value)
        case "commit":
            return lambda change: any(patch_set.revision.startswith(value) for patch_set in change.patch_sets)
        case "project":
            return lambda change: change.project == value
        case "branch":
            return lambda change: change.branch == value.removeprefix("refs/heads/")
        case "topic":
            return lambda change: change.topic == value
        case "owner":
            return lambda change: value in (change.owner.username, change.owner.email)
        case "status" | "is" if value in ("open", "closed", "new", "merged", "abandoned", "pending"):
            return _has_status(value)
        case "limit":
            if not value.isdigit():
                raise NotUnderstood(f"Invalid limit: {value}")
            search.limit = min(search.limit, int(value))
            return lambda change: True
        case "resume_sortkey" if sort_keys:
            return lambda change: sort_key(change) < value
        case _:
            raise NotUnderstood(f"Unsupported operator {word}")


def _is_change(value: str) -> Test:
    if value.isdigit():
        return lambda change: change.number == int(value)
    project, _, rest = value.partition("~")
    branch, _, change_id = rest.partition("~")
    if change_id:
        return lambda change: (change.project, change.branch, change.change_id) == (project, branch, change_id)
    return lambda change: change.change_id.startswith(value)


def _has_status(value: str) -> Test:
    if value == "closed":
        return lambda change: change.status != "NEW"
    wanted = "NEW" if value in ("open", "new", "pending") else value.upper()
    return lambda change: change.status == wanted


def _says(value: str) -> Test:
    """Whole words in this order, in any case."""
    wanted = f" {' '.join(_words(value))} "
    return lambda change: wanted in f" {' '.join(_words(change.current.commit_message))} "


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
