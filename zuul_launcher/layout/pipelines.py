"""`pipelines:` - each with its triggers, requirements, messages, reporters and window."""

from typing import Any

from zuul_launcher.layout.triggers import read_reject, read_requirement, read_triggers
from zuul_launcher.model.layout import Pipeline, Reporter, Requirement, Window
from zuul_launcher.yamlfile.reading import EXTRA, Fields, Reading
from zuul_launcher.yamlfile.tree import Mapping, Node, Scalar

_KINDS = {"IndependentPipelineManager": "independent", "DependentPipelineManager": "dependent"}
_MESSAGES = ("success-message", "failure-message", "merge-failure-message", "footer-message")
_ACTIONS = ("start", "success", "failure", "merge-failure", "disabled")
_WINDOW = tuple(name.replace("_", "-") for name in Window.__struct_fields__)  # start is written `window`
_KEYS = (
    *("name", "manager", "description", "source", "precedence", "trigger", "require", "reject", "window"),
    *("dequeue-on-new-patchset", "ignore-dependencies", "disable-after-consecutive-failures"),
    *(f"window-{key}" for key in _WINDOW if key != "start"),
    *_MESSAGES,
    *_ACTIONS,
)
_REPORTER_KEYS = {"smtp": ("to", "from", "subject", "connection"), "sql": ("score",)}


def read_pipelines(reading: Reading, node: Node, connections: dict[str, str]) -> dict[str, Pipeline]:
    seen: dict[str, Node] = {}
    pipelines: dict[str, Pipeline] = {}
    for one in reading.items(node, "expected a list for dictionary value"):
        fields = reading.fields(one, _KEYS, required=["name", "manager", "trigger"])
        name = fields.read("name", reading.name) if fields else None
        if fields is None or name is None or not reading.unique(seen, name, fields["name"]):
            continue
        pipelines[name] = _pipeline(reading, fields, name, connections)
    return pipelines


def _pipeline(reading: Reading, fields: Fields, name: str, connections: dict[str, str]) -> Pipeline:
    optional: dict[str, Any] = {
        "description": fields.read("description", reading.text),
        "precedence": fields.read("precedence", reading.choice(("high", "normal", "low"))),
        "dequeue_on_new_patchset": fields.read("dequeue-on-new-patchset", reading.truth),
        "ignore_dependencies": fields.read("ignore-dependencies", reading.truth),
        "disable_after": fields.read("disable-after-consecutive-failures", reading.at_least(1)),
    }
    for message in _MESSAGES:
        optional[message.replace("-", "_")] = fields.read(message, reading.text)
    actions = {action: _reporters(reading, fields, action, connections) for action in _ACTIONS}
    kind = fields.read("manager", reading.choice(_KINDS))
    return Pipeline(
        name=name,
        kind="dependent" if kind == "DependentPipelineManager" else "independent",
        source=_source(reading, fields, connections),
        triggers=fields.given("trigger", lambda node: read_triggers(reading, node, connections), ()),
        require=fields.given("require", lambda node: read_requirement(reading, node), Requirement()),
        reject=fields.given("reject", lambda node: read_reject(reading, node), ()),
        window=_window(reading, fields),
        start=actions["start"],
        success=actions["success"],
        failure=actions["failure"],
        merge_failure=actions["merge-failure"] or actions["failure"],
        disabled=actions["disabled"],
        **{key: value for key, value in optional.items() if value is not None},
    )


def _source(reading: Reading, fields: Fields, connections: dict[str, str]) -> str:
    source = fields.given("source", reading.text, "gerrit")
    if connections.get(source) != "gerrit":
        gerrits = [name for name, driver in connections.items() if driver == "gerrit"]
        place = fields.get("source") or fields.node
        hint = reading.alike(source, gerrits) or f"zuul.conf has {', '.join(gerrits) or 'none'}"
        reading.refuse(place, f"source {source!r} is no connection to a Gerrit", hint)
    return source


def _window(reading: Reading, fields: Fields) -> Window:
    types = reading.choice(("linear", "exponential"))
    values = {
        "start": fields.read("window", reading.at_least(0)),
        "floor": fields.read("window-floor", reading.at_least(1)),
        "increase_type": fields.read("window-increase-type", types),
        "increase_factor": fields.read("window-increase-factor", reading.at_least(1)),
        "decrease_type": fields.read("window-decrease-type", types),
        "decrease_factor": fields.read("window-decrease-factor", reading.at_least(1)),
    }
    given: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
    return Window(**given)


def _reporters(reading: Reading, fields: Fields, action: str, connections: dict[str, str]) -> tuple[Reporter, ...]:
    if action not in fields:
        return ()
    reporters: list[Reporter] = []
    for name, entry in reading.entries(fields[action]).items():
        if name not in connections:
            hint = reading.alike(name, connections) or f"zuul.conf has {', '.join(connections) or 'none'}"
            reading.refuse(entry.key, f"{EXTRA}: {name!r} is no reporter", hint)
        elif not isinstance(entry.value, Mapping):
            reading.refuse(entry.value, "expected a dictionary", "write {} for no options")
        else:
            options = _options(reading, entry.value, connections[name])
            reporters.append(Reporter(connection=name, options=options))
    return tuple(reporters)


def _options(reading: Reading, node: Mapping, driver: str) -> dict[str, str | int | bool | float | None]:
    """Any key with a plain value for Gerrit; what the driver knows for the others."""
    if driver == "gerrit":
        for entry in node.entries.values():
            if not isinstance(entry.value, Scalar):
                reading.refuse(entry.value, "expected a plain value", "a vote, true, or text")
    else:
        known = reading.fields(node, _REPORTER_KEYS[driver])
        for key in _REPORTER_KEYS[driver]:
            if known:
                known.read(key, reading.integer if driver == "sql" else reading.text)
    return {key: entry.value.value for key, entry in node.entries.items() if isinstance(entry.value, Scalar)}
