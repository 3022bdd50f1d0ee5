"""`steps` and `publish` of a job in jobs.yaml. A step is `shell` or `trigger`, a publisher `artifacts`, `junit`, `copy`
or `script`; beside that key stand those which say how it runs.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import Struct

from zuul_launcher.worker.definitions import values
from zuul_launcher.worker.definitions.job import (
    PARAMETER,
    Artifacts,
    Copy,
    CopyFiles,
    JUnit,
    Publisher,
    Script,
    Shell,
    Step,
    Trigger,
    When,
)
from zuul_launcher.yamlfile.reading import Fields, Reading
from zuul_launcher.yamlfile.tree import Mapping as MappingNode
from zuul_launcher.yamlfile.tree import Node

RESULTS = ("SUCCESS", "FAILURE", "UNSTABLE", "POST_FAILURE", "TIMED_OUT", "ABORTED")
WHEN = ("success", "failure", "always", *RESULTS)
MARKS = ("POST_FAILURE", "FAILURE", "UNSTABLE")

_BESIDE = ("name", "when", "timeout", "essential")
STEPS: Mapping[str, tuple[str, ...]] = {
    "shell": (*_BESIDE, "env", "keep_processes"),
    "trigger": _BESIDE,
}
PUBLISHERS: Mapping[str, tuple[str, ...]] = dict.fromkeys(("artifacts", "junit", "copy", "script"), ("when",))
TRIGGER_KEYS = ("jobs", "params", "pass_params", "wait")
ARTIFACTS_KEYS = ("paths", "excludes", "allow_empty")
JUNIT_KEYS = ("paths", "on_failure", "allow_empty")
COPY_KEYS = ("site", "files")
FILES_KEYS = ("source", "excludes", "target", "keep_hierarchy", "copy_console", "copy_after_failure")
SCRIPT_KEYS = ("steps", "marks")

# Forms in which a job may have a secret; which parts of the secret serve for it.
SECRET_PARTS: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "file": ("file", "text", "private_key"),
    "username": ("username",),
    "password": ("password",),
    "ssh-agent": ("private_key",),
}

environment = values.texts_by_name(values.VARIABLE)
parameters = values.texts_by_name(PARAMETER)


class Known(Struct, frozen=True):
    """What other files define, and jobs name."""

    sites: Collection[str] = ()
    secrets: Mapping[str, Mapping[str, str]] = {}

    def what_is_wrong_with_a_secret(self, name: str, kind: str) -> tuple[str, str]:
        """Why it can not be given in this form, and what may help; empty: it can."""
        if name not in self.secrets:
            return f"there is no secret {name!r}", "name it in secrets.yaml"
        needed = SECRET_PARTS.get(kind, ())
        if needed and not set(needed) & set(self.secrets[name]):
            has = ", ".join(sorted(self.secrets[name]))
            return f"the secret {name!r} has no {' or '.join(needed)}", f"it has {has}"
        return "", ""


def read_steps(reading: Reading, node: Node) -> tuple[Step, ...]:
    values.refuse_empty(reading, node, "step")
    found = (_step(reading, one) for one in reading.items(node, "expected a list of steps"))
    return tuple(step for step in found if step)


def read_publishers(reading: Reading, node: Node, known: Known) -> tuple[Publisher, ...]:
    found = (_publisher(reading, one, known) for one in reading.items(node, "expected a list of publishers"))
    return tuple(publisher for publisher in found if publisher)


def _kind(reading: Reading, node: Node, kinds: Mapping[str, Collection[str]]) -> tuple[str, Fields] | None:
    """The one key that says what this is, and all its fields."""
    if not isinstance(node, MappingNode):
        reading.refuse(node, "expected a dictionary", f"with one of {', '.join(kinds)}")
        return None
    named = [key for key in kinds if key in node.entries]
    if len(named) == 1:
        fields = reading.fields(node, (named[0], *kinds[named[0]]))
        return (named[0], fields) if fields else None
    if named:
        reading.refuse(node.entries[named[1]].key, f"{named[0]} and {named[1]} in one", "make them two entries")
    else:
        every = {*kinds, *(key for keys in kinds.values() for key in keys)}
        hints = (reading.alike(key, every) for key in node.entries if key not in every)
        hint = next((one for one in hints if one), None)
        reading.refuse(node, f"expected one of {', '.join(kinds)}", hint)
    return None


def _step(reading: Reading, node: Node) -> Step | None:
    found = _kind(reading, node, STEPS)
    if found is None:
        return None
    kind, fields = found
    beside: dict[str, Any] = {
        "name": fields.given("name", reading.text, ""),
        "when": _when(reading, fields, ("success",)),
        "timeout": fields.read("timeout", lambda one: values.duration(reading, one)),
        "essential": fields.given("essential", reading.truth, True),
    }
    if kind == "trigger":
        return _trigger(reading, fields["trigger"], beside)
    return Shell(
        text=fields.given("shell", lambda one: _script(reading, one), ""),
        env=fields.given("env", lambda one: environment(reading, one), {}),
        keep_processes=fields.given("keep_processes", reading.truth, False),
        **beside,
    )


def _script(reading: Reading, node: Node) -> str | None:
    text = values.plain_text(reading, node)
    if text is not None and not text.strip():
        reading.refuse(node, "the script is empty")
    return text


def _trigger(reading: Reading, node: Node, beside: dict[str, Any]) -> Trigger | None:
    fields = reading.fields(node, TRIGGER_KEYS, required=["jobs"])
    if fields is None:
        return None
    if "jobs" in fields:
        values.refuse_empty(reading, fields["jobs"], "job")
    return Trigger(
        jobs=fields.every("jobs", lambda one: values.job_name(reading, one)),
        parameters=fields.given("params", lambda one: parameters(reading, one), {}),
        pass_parameters=fields.given("pass_params", reading.truth, False),
        wait=fields.given("wait", reading.truth, False),
        **beside,
    )


def _when(reading: Reading, fields: Fields, default: tuple[When, ...]) -> tuple[When, ...]:
    return fields.every("when", reading.choice(WHEN)) or default


def _publisher(reading: Reading, node: Node, known: Known) -> Publisher | None:
    found = _kind(reading, node, PUBLISHERS)
    if found is None:
        return None
    kind, fields = found
    when = _when(reading, fields, ("always",))
    if kind == "copy":
        return _copy(reading, fields[kind], when, known)
    readers: dict[str, Callable[[Reading, Node, tuple[When, ...]], Publisher | None]] = {
        "artifacts": _artifacts,
        "junit": _junit,
        "script": _publish_script,
    }
    return readers[kind](reading, fields[kind], when)


def _artifacts(reading: Reading, node: Node, when: tuple[When, ...]) -> Artifacts | None:
    fields = reading.fields(node, ARTIFACTS_KEYS, required=["paths"])
    if fields is None:
        return None
    return Artifacts(
        paths=_paths(reading, fields, "paths"),
        excludes=_paths(reading, fields, "excludes"),
        allow_empty=fields.given("allow_empty", reading.truth, False),
        when=when,
    )


def _junit(reading: Reading, node: Node, when: tuple[When, ...]) -> JUnit | None:
    fields = reading.fields(node, JUNIT_KEYS, required=["paths"])
    if fields is None:
        return None
    outcome = fields.read("on_failure", reading.choice(("unstable", "failure")))
    return JUnit(
        paths=_paths(reading, fields, "paths"),
        on_failure="failure" if outcome == "failure" else "unstable",
        allow_empty=fields.given("allow_empty", reading.truth, False),
        when=when,
    )


def _paths(reading: Reading, fields: Fields, key: str) -> tuple[str, ...]:
    if key in fields:
        values.refuse_empty(reading, fields[key], "path")
    return fields.every(key, lambda one: values.inner_path(reading, one))


def _publish_script(reading: Reading, node: Node, when: tuple[When, ...]) -> Script | None:
    fields = reading.fields(node, SCRIPT_KEYS, required=["steps"])
    if fields is None:
        return None
    marks: Any = fields.read("marks", reading.choice(MARKS)) or "POST_FAILURE"
    return Script(steps=fields.given("steps", lambda one: read_steps(reading, one), ()), when=when, marks=marks)


def _copy(reading: Reading, node: Node, when: tuple[When, ...], known: Known) -> Copy | None:
    fields = reading.fields(node, COPY_KEYS, required=COPY_KEYS)
    if fields is None:
        return None
    site = fields.read("site", reading.name)
    if site and site not in known.sites:
        hint = reading.alike(site, known.sites) or "name it in `sites` of nodes.yaml"
        reading.refuse(fields["site"], f"there is no site {site!r}", hint)
    files = fields.every("files", lambda one: _copy_files(reading, one))
    if "files" in fields:
        values.refuse_empty(reading, fields["files"], "entry")
    return Copy(site=site or "", files=files, when=when)


def _copy_files(reading: Reading, node: Node) -> CopyFiles | None:
    fields = reading.fields(node, FILES_KEYS)
    if fields is None:
        return None
    files = CopyFiles(
        source=fields.given("source", lambda one: values.inner_path(reading, one), ""),
        excludes=_paths(reading, fields, "excludes"),
        target=fields.given("target", lambda one: values.inner_path(reading, one), ""),
        keep_hierarchy=fields.given("keep_hierarchy", reading.truth, False),
        copy_console=fields.given("copy_console", reading.truth, False),
        copy_after_failure=fields.given("copy_after_failure", reading.truth, False),
    )
    if "source" not in fields and not files.copy_console:
        reading.refuse(node, "neither `source` nor `copy_console`: there is nothing to copy")
    return files
