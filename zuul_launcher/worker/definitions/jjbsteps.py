"""Builders of Jenkins Job Builder -> steps: `shell`, and `trigger-builds`, which asks the Gearman server for builds."""

from collections.abc import Callable, Mapping
from typing import Any

from zuul_launcher.worker.definitions.jjbdraft import (
    Unsupported,
    entries,
    mapping,
    number,
    refuse_others,
    required,
    text,
    truth,
    with_braces,
)
from zuul_launcher.worker.definitions.jjbjob import Component
from zuul_launcher.worker.definitions.job import PARAMETER, Shell, Step, Trigger
from zuul_launcher.worker.definitions.values import what_is_wrong_with_a_job_name

_TRIGGER_KEYS = (
    "project",
    "predefined-parameters",
    "bool-parameters",
    "current-parameters",
    "block",
    "block-thresholds",
)
# The library's own: a failure fails the step, and what is unstable there is unstable here.
_THRESHOLDS = {
    "build-step-failure-threshold": "FAILURE",
    "unstable-threshold": "UNSTABLE",
    "failure-threshold": "FAILURE",
}
_NEVER = dict.fromkeys(_THRESHOLDS, "NEVER")  # whatever comes of the builds


def steps_of(component: Component) -> list[Step]:
    """Raises Unsupported."""
    if component.name not in _BUILDERS:
        raise Unsupported("not supported")
    return _BUILDERS[component.name](component.data)


def _shell(data: Any) -> list[Step]:
    if isinstance(data, dict):
        if number(data, "unstable-return", 0):
            raise Unsupported("unstable-return is not supported")
        refuse_others(data, ("command", "unstable-return"))
        data = required(data, "command")
    if not isinstance(data, str):
        raise Unsupported("expected a text")
    if "\0" in data:
        raise Unsupported("the text has a NUL character")
    return [Shell(text=data)]


def _trigger_builds(data: Any) -> list[Step]:
    definitions = [mapping(one) for one in entries(data, "trigger-builds")]
    return [_trigger(one) for one in definitions if one.get("project")]  # the library passes over the others


def _trigger(data: Mapping[str, Any]) -> Trigger:
    refuse_others(data, _TRIGGER_KEYS)
    project = data["project"]
    names = project if isinstance(project, list) else str(project).split(",")
    jobs = tuple(with_braces(str(one).strip()) for one in names if str(one).strip())
    for name in jobs:
        if wrong := what_is_wrong_with_a_job_name(name):
            raise Unsupported(f"{name!r}: {wrong}")
    return Trigger(
        jobs=jobs,
        parameters={**_properties(text(data, "predefined-parameters")), **_truths(data)},
        pass_parameters=truth(data, "current-parameters"),
        wait=truth(data, "block"),
        essential=not truth(data, "block") or _counts(data),
    )


def _counts(data: Mapping[str, Any]) -> bool:
    """Whether a failure of the builds is one of the step."""
    given = mapping(data.get("block-thresholds"))
    thresholds = {key: text(given, key, default).upper() for key, default in _THRESHOLDS.items()}
    if thresholds not in (_THRESHOLDS, _NEVER):
        raise Unsupported("block-thresholds are not supported, but for the usual ones and for `never` in all three")
    return thresholds != _NEVER


def _properties(lines: str) -> dict[str, str]:
    """`NAME=VALUE` in each line, as a properties file of Java."""
    found = {}
    for line in map(str.strip, lines.splitlines()):
        if not line or line.startswith(("#", "!")):
            continue
        name, sign, value = (part.strip() for part in line.partition("="))
        if not sign or not PARAMETER.fullmatch(name) or "\\" in line:
            raise Unsupported(f"predefined-parameters: {line!r} is not supported, only NAME=VALUE")
        found[name] = with_braces(value)
    return found


def _truths(data: Mapping[str, Any]) -> dict[str, str]:
    given = [mapping(one) for one in entries(data.get("bool-parameters") or [], "bool-parameters")]
    return {required(one, "name"): str(truth(one, "value")).lower() for one in given}


_BUILDERS: dict[str, Callable[[Any], list[Step]]] = {"shell": _shell, "trigger-builds": _trigger_builds}
