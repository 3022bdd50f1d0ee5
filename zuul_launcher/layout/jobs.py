"""`jobs:` - what is said of jobs, by name or by regex, and what a job gets from all that matches it.

The list is read from the top. A job named literally gets the regex entries above it, in their order, then its own keys;
a job that only projects name gets all of them. Later entries overwrite what they set; `tags` add up;
`hold-following-changes` stays once it is true.
"""

import re
import string
from dataclasses import dataclass, field
from typing import Any

from zuul_launcher.layout.includes import Functions
from zuul_launcher.model.layout import Job, SkipIf
from zuul_launcher.yamlfile.reading import Fields, Reading
from zuul_launcher.yamlfile.tree import Node, Sequence

NOOP = "noop"  # the job that always succeeds and is never sent anywhere

_TEXTS = (
    "queue-name",
    "success-message",
    "failure-message",
    "success-pattern",
    "failure-pattern",
    "mutex",
    "parameter-function",
)
_PATTERNS = ("branch", "files")
_KEYS = [*_TEXTS, *_PATTERNS, "name", "hold-following-changes", "voting", "attempts", "tags", "skip-if", "swift"]
_SWIFT_KEYS = ["name"] + [
    name.replace("-", mark)
    for name in ("container", "expiry", "max-file-size", "max-file-count", "logserver-prefix")
    for mark in "-_"
]
_FIELDS = {"branch": "branches"}  # other keys are fields with `_` for `-`


@dataclass
class JobEntry:
    """One entry of the list: what it sets, by field of Job."""

    name: str
    sets: dict[str, Any]
    queue_name_at: Node | None = None


@dataclass
class JobEntries:
    """All entries; gives any job its definition. `queue_name_at` tells where a job's queue-name stands."""

    literal: dict[str, tuple[JobEntry, int]] = field(default_factory=dict)  # with the number of regex entries above
    regex: list[tuple[re.Pattern[str], JobEntry]] = field(default_factory=list)
    queue_name_at: dict[str, Node] = field(default_factory=dict)

    def job(self, name: str) -> Job:
        entry, above = self.literal.get(name, (None, len(self.regex)))
        matching = [one for pattern, one in self.regex[:above] if pattern.match(name)]
        values: dict[str, Any] = {}
        tags: set[str] = set()
        for one in [*matching, entry] if entry else matching:
            held = values.get("hold_following_changes", False)
            values |= one.sets
            values["hold_following_changes"] = held or values.get("hold_following_changes", False)
            tags.update(one.sets.get("tags", ()))
            if one.queue_name_at is not None:
                self.queue_name_at[name] = one.queue_name_at
        return Job(**{**values, "name": name, "tags": tuple(sorted(tags))})


def read_jobs(reading: Reading, node: Node | None, functions: Functions) -> JobEntries:
    entries = JobEntries()
    seen: dict[str, Node] = {}
    for one in reading.items(node) if node else []:
        fields = reading.fields(one, _KEYS, required=["name"])
        name = fields.read("name", reading.name) if fields else None
        if fields is None or name is None or not reading.unique(seen, name, fields["name"]):
            continue
        entry = _entry(reading, fields, name, functions)
        if not name.startswith("^"):
            entries.literal[name] = (entry, len(entries.regex))
        elif (pattern := reading.pattern(fields["name"])) is not None:
            entries.regex.append((re.compile(pattern), entry))
    return entries


def _entry(reading: Reading, fields: Fields, name: str, functions: Functions) -> JobEntry:
    values: dict[str, Any] = {key: fields.read(key, reading.text) for key in _TEXTS}
    values |= {key: fields.read(key, reading.patterns) for key in _PATTERNS}
    values["tags"] = fields.read("tags", reading.texts)
    values["hold-following-changes"] = fields.read("hold-following-changes", reading.truth)
    values["voting"] = fields.read("voting", reading.truth)
    values["attempts"] = fields.read("attempts", reading.at_least(1))
    values["skip-if"] = fields.read("skip-if", reading.one_or_list(lambda one: _skip_if(reading, one)))
    _check_function(reading, fields, values["parameter-function"], functions)
    for key in ("success-pattern", "failure-pattern"):
        _check_format(reading, fields, key, values[key])
    if "swift" in fields:
        _check_swift(reading, fields["swift"])
    sets = {
        _FIELDS.get(key, key.replace("-", "_")): value for key, value in values.items() if value not in (None, "", ())
    }
    return JobEntry(name, sets, fields["queue-name"] if values["queue-name"] else None)


def _skip_if(reading: Reading, node: Node) -> SkipIf | None:
    fields = reading.fields(node, ("project", "branch", "all-files-match-any"))
    if fields is None:
        return None
    return SkipIf(
        project=fields.read("project", reading.pattern),
        branch=fields.read("branch", reading.pattern),
        all_files=fields.read("all-files-match-any", reading.patterns),
    )


def _check_function(reading: Reading, fields: Fields, name: str | None, functions: Functions) -> None:
    if name and not functions.knows(name):
        hint = reading.alike(name, functions.names) or "define it in a python-file of `includes`"
        reading.refuse(fields["parameter-function"], f"Unable to find function {name}", hint)


def _check_format(reading: Reading, fields: Fields, key: str, text: str | None) -> None:
    """v2 takes such a text and reports without an URL, so this is no mistake that refuses the layout."""
    try:
        list(string.Formatter().parse(text or ""))
    except ValueError as error:
        reading.problems.warn(fields[key], f"{key} can not be filled in: {error}", "write {{ and }} for braces")


def _check_swift(reading: Reading, node: Node) -> None:
    for one in node.items if isinstance(node, Sequence) else [node]:
        fields = reading.fields(one, _SWIFT_KEYS, required=["name"])
        if fields:
            fields.read("name", reading.text)
    reading.problems.warn(node, "swift is ignored", "this program has no uploads to Swift")
