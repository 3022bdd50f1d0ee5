"""A job of Jenkins Job Builder -> a job of ours, or the parts that have no translation. Such a job is not registered:
nothing of it is dropped in silence. What makes no difference to a build is left out with a note.
"""

from collections.abc import Callable, Collection
from typing import Any

from msgspec import Struct

from zuul_launcher.worker.definitions.jjbdraft import Draft, Part, Unsupported, mapping, number, text, truth
from zuul_launcher.worker.definitions.jjbgit import scm
from zuul_launcher.worker.definitions.jjbjob import Component, Expand, ExpandedJob
from zuul_launcher.worker.definitions.jjbpublishers import publisher
from zuul_launcher.worker.definitions.jjbsteps import steps_of
from zuul_launcher.worker.definitions.jjbwrappers import jjb_property, kept, parameter, wrapper
from zuul_launcher.worker.definitions.job import Job
from zuul_launcher.worker.definitions.jobsteps import Known
from zuul_launcher.worker.definitions.labels import ExpressionError, parse
from zuul_launcher.worker.definitions.values import what_is_wrong_with_a_job_name

_REPORTS = "left out: the gate reports"
_STARTS = "left out: the gate starts jobs, also at fixed times"
_NOTES = {
    ("publisher", "email"): _REPORTS,
    ("publisher", "email-ext"): _REPORTS,
    ("publisher", "ircbot"): _REPORTS,
    ("trigger", "timed"): _STARTS,
    ("trigger", "pollscm"): _STARTS,
    ("property", "zeromq-event"): "left out: it tells Jenkins to announce builds",
}
# Keys of a job that are read, and those that say nothing of its builds.
_KEYS = ("name", "description", "disabled", "node", "concurrent", "workspace", "logrotate", "project-type", "folder")
_SILENT = ("display-name", "auth-token", "quiet-period", "retry-count", "actions")


class Translated(Struct, frozen=True):
    job: Job | None  # None: there are `unsupported` parts
    unsupported: tuple[Part, ...]
    notes: tuple[Part, ...]


def translate(expanded: ExpandedJob, expand: Expand, known: Known | None, ignore: Collection[str]) -> Translated:
    """`known`: sites and secrets that there are; None: that is not checked. `ignore`: `KIND:NAME` of components."""
    draft = Draft(known, expand, ignore)
    _attempt(draft, "name", lambda: _name(expanded.name))
    kind = text(expanded.keys, "project-type", "freestyle")
    if kind != "freestyle":
        draft.unsupported.append(Part(f"project-type {kind}", "not supported"))
        return Translated(None, tuple(draft.unsupported), ())
    for key, value in expanded.keys.items():
        _attempt(draft, key, lambda key=key, value=value: _key(draft, key, value))  # type: ignore[misc]
    for component in expanded.components:
        if not draft.is_left_out(component.kind, component.name):
            part = f"{component.kind} {component.name}"
            _attempt(draft, part, lambda one=component: _component(draft, one))  # type: ignore[misc]
    return Translated(
        None if draft.unsupported else _job(expanded, draft), tuple(draft.unsupported), tuple(draft.notes)
    )


def _job(expanded: ExpandedJob, draft: Draft) -> Job:
    """Jenkins runs one build of a job at a time if nothing else is said."""
    return Job(
        name=expanded.name,
        place=expanded.place,
        steps=tuple(draft.steps),
        publish=tuple(draft.publishers),
        credentials=tuple(draft.credentials),
        params=draft.parameters,
        **{"concurrent": False, **draft.values},
    )


def _attempt(draft: Draft, part: str, what: Callable[[], None]) -> None:
    try:
        what()
    except Unsupported as error:
        draft.unsupported.append(Part(part, str(error)))


def _name(name: str) -> None:
    if wrong := what_is_wrong_with_a_job_name(name):
        raise Unsupported(wrong)


def _component(draft: Draft, component: Component) -> None:
    note = _NOTES.get((component.kind, component.name))
    if note:
        draft.notes.append(Part(f"{component.kind} {component.name}", note))
    elif component.kind == "builder":
        draft.steps += steps_of(component)
    elif component.kind in _TABLES:
        _TABLES[component.kind](draft, component)
    else:
        raise Unsupported("not supported")


_TABLES: dict[str, Callable[[Draft, Component], None]] = {
    "publisher": publisher,
    "wrapper": wrapper,
    "property": jjb_property,
    "parameter": parameter,
    "scm": scm,
}


def _key(draft: Draft, key: str, value: Any) -> None:
    """A key of a job that is no list of components."""
    if key in ("disabled", "concurrent"):
        draft.values[key] = truth({key: value}, key)
    elif key == "description" and value:
        draft.values[key] = text({key: value}, key)
    elif key == "node" and value:
        try:
            draft.values[key] = parse(text({key: value}, key))
        except ExpressionError as error:
            raise Unsupported(f"no label expression, at its character {error.column}: {error.message}") from error
    elif key == "workspace" and value:
        draft.values[key] = _workspace(text({key: value}, key))
    elif key == "logrotate" and value:
        data = mapping(value)
        draft.values["keep"] = kept(number(data, "daysToKeep", -1), number(data, "numToKeep", -1))
    elif key in _SILENT and value:
        draft.notes.append(Part(key, "left out"))
    elif key not in _KEYS and value and not draft.is_left_out("key", key):
        raise Unsupported("not supported")


def _workspace(path: str) -> str:
    if not path.startswith("/") or "$" in path:
        raise Unsupported("only absolute paths without variables are supported")
    return path
