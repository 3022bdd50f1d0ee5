"""What lets a change in: triggers, requirements and the approvals that both may ask for."""

import re

from zuul_launcher.cron import next_time
from zuul_launcher.model.change import normal_label
from zuul_launcher.model.layout import ApprovalRule, Filter, GerritFilter, Requirement, TimerFilter, ZuulFilter
from zuul_launcher.yamlfile.reading import EXTRA, Fields, Reading
from zuul_launcher.yamlfile.tree import Mapping, Node, Scalar, Sequence

GERRIT_EVENTS = (
    "patchset-created",
    "draft-published",
    "change-abandoned",
    "change-restored",
    "change-merged",
    "comment-added",
    "ref-updated",
)
ZUUL_EVENTS = ("project-change-merged", "parent-change-enqueued")
BUILT_IN = ("timer", "zuul")  # triggers that are no connections

_OLD_NAMES = {"comment": "comment_filter", "email": "email_filter", "username": "username_filter"}
_GERRIT_KEYS = (
    *("event", "branch", "ref", "ignore-deletes", "approval", "require-approval", "reject-approval"),
    *_OLD_NAMES,
    *_OLD_NAMES.values(),
)


def read_triggers(reading: Reading, node: Node, connections: dict[str, str]) -> tuple[Filter, ...]:
    """`trigger:` of a pipeline. Names are Gerrit connections, `timer` or `zuul`."""
    gerrits = [name for name, driver in connections.items() if driver == "gerrit"]
    filters: list[Filter | None] = []
    for name, entry in reading.entries(node).items():
        value = entry.value
        nodes = value.items if isinstance(value, Sequence) else [value]
        if name in gerrits:
            filters += [_gerrit(reading, one, name) for one in nodes]
        elif name == "timer":
            filters += [_timer(reading, one) for one in nodes]
        elif name == "zuul":
            filters += [_zuul(reading, one) for one in nodes]
        else:
            hint = reading.alike(name, [*gerrits, *BUILT_IN]) or f"triggers are {', '.join([*gerrits, *BUILT_IN])}"
            reading.refuse(entry.key, f"{EXTRA}: {name!r} is no trigger", hint)
    return tuple(one for one in filters if one is not None)


def read_requirement(reading: Reading, node: Node) -> Requirement:
    fields = reading.fields(node, ("open", "current-patchset", "status", "approval"))
    if fields is None:
        return Requirement()
    return Requirement(
        open=fields.read("open", reading.truth),
        current_patchset=fields.read("current-patchset", reading.truth),
        statuses=fields.every("status", reading.text),
        approvals=_rules(reading, fields, "approval"),
    )


def read_reject(reading: Reading, node: Node) -> tuple[ApprovalRule, ...]:
    fields = reading.fields(node, ("approval",))
    return _rules(reading, fields, "approval") if fields else ()


def _gerrit(reading: Reading, node: Node, connection: str) -> GerritFilter | None:
    fields = reading.fields(node, _GERRIT_KEYS, required=["event"])
    if fields is None:
        return None
    events = fields.every("event", reading.choice(GERRIT_EVENTS))
    _check_refs(reading, fields, events)
    people = {name: _renamed(reading, fields, name) for name in _OLD_NAMES}
    return GerritFilter(
        connection=connection,
        events=events,
        branches=fields.patterns("branch"),
        refs=fields.patterns("ref"),
        comments=people["comment"],
        emails=people["email"],
        usernames=people["username"],
        approvals=_votes(reading, fields),
        require=_rules(reading, fields, "require-approval"),
        reject=_rules(reading, fields, "reject-approval"),
        ignore_deletes=fields.given("ignore-deletes", reading.truth, True),
    )


def _check_refs(reading: Reading, fields: Fields, events: tuple[str, ...]) -> None:
    others = [event for event in events if event != "ref-updated"]
    if "ref" in fields and others:
        for ref in fields.patterns("ref"):
            text = f"The event {others[0]} does not include ref information, Zuul cannot use ref filter 'ref: {ref}'"
            reading.refuse(fields["ref"], text, "give ref-updated a filter of its own")
    if "branch" in fields and "ref-updated" in events:
        text = "ref-updated has no branch: this filter never accepts it"
        reading.problems.warn(fields["branch"], text, "use `ref`")


def _renamed(reading: Reading, fields: Fields, name: str) -> tuple[str, ...]:
    """A condition that had another name once; the new name counts if both are there and not empty."""
    old = fields.patterns(_OLD_NAMES[name])
    return fields.patterns(name) or old


def _votes(reading: Reading, fields: Fields) -> dict[str, int]:
    """`approval:` of a Gerrit filter: labels with the value that the event must carry."""
    if "approval" not in fields:
        return {}
    node = fields["approval"]
    votes: dict[str, int] = {}
    for one in node.items if isinstance(node, Sequence) else [node]:
        for label, entry in reading.entries(one).items():
            value = entry.value
            if isinstance(value, Scalar) and re.fullmatch(r"[+-]?[0-9]{1,4}", str(value.value)):
                votes[normal_label(label)] = int(str(value.value))
            else:
                reading.refuse(value, "expected int", "the value of a vote, as in `code-review: 2`")
    return votes


def _rules(reading: Reading, fields: Fields, key: str) -> tuple[ApprovalRule, ...]:
    return fields.every(key, lambda node: _rule(reading, node))


def _rule(reading: Reading, node: Node) -> ApprovalRule | None:
    if not isinstance(node, Mapping):
        reading.refuse(node, "expected a dictionary")
        return None
    fields = Fields(node, reading)
    conditions = {"username", "email", "email-filter", "newer-than", "older-than"}
    integers = reading.one_or_list(reading.integer)
    old_email = fields.read("email-filter", reading.pattern)
    return ApprovalRule(
        labels={
            normal_label(key): integers(entry.value) for key, entry in node.entries.items() if key not in conditions
        },
        username=fields.read("username", reading.pattern),
        email=fields.read("email", reading.pattern) or old_email,
        newer_than=fields.read("newer-than", reading.interval),
        older_than=fields.read("older-than", reading.interval),
    )


def _timer(reading: Reading, node: Node) -> TimerFilter | None:
    fields = reading.fields(node, ("time",), required=["time"])
    time = fields.read("time", reading.text) if fields else None
    if fields is None or time is None:
        return None
    try:
        next_time(time, 0)
    except ValueError as error:
        hint = "cron has 5 fields: minute hour day-of-month month day-of-week; seconds may follow as the 6th"
        reading.problems.warn(fields["time"], f"{time!r} is ignored: {error}", hint)
        return None
    return TimerFilter(time=time)


def _zuul(reading: Reading, node: Node) -> ZuulFilter | None:
    keys = ("event", "pipeline", "require-approval", "reject-approval")
    fields = reading.fields(node, keys, required=["event"])
    if fields is None:
        return None
    return ZuulFilter(
        events=fields.every("event", reading.choice(ZUUL_EVENTS)),
        pipelines=fields.patterns("pipeline"),
        require=_rules(reading, fields, "require-approval"),
        reject=_rules(reading, fields, "reject-approval"),
    )
