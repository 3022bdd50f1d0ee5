"""jobs.yaml -> jobs. A mistake in a job refuses that job alone; one in `defaults`, or outside of jobs, the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from zuul_launcher.worker.definitions import values
from zuul_launcher.worker.definitions.job import Credential, Git, Job, Keep, Place, Throttle
from zuul_launcher.worker.definitions.jobsteps import (
    SECRET_PARTS,
    Known,
    environment,
    parameters,
    read_publishers,
    read_steps,
)
from zuul_launcher.yamlfile.problems import Problem, Problems
from zuul_launcher.yamlfile.reading import Fields, Reading
from zuul_launcher.yamlfile.tree import Mapping, Node, Scalar, Sequence, parse_file

KEYS = ("defaults", "jobs")
OWN_KEYS = ("name", "description", "disabled", "steps")  # what jobs can not have in common
THROTTLE_KEYS = ("group", "max")
GIT_KEYS = ("url", "ref", "commit", "clean", "submodules", "folder")
KEEP_KEYS = ("days", "builds")
FOREVER = "forever"
MAXIMUM_TRIES = 10

_MATRIX = ("matrix", "axes", "axis", "combinations")
_FIELDS = {"timeout_var": "timeout_variable"}  # keys whose field of Job has another name
_JOINED = ("env", "params")  # with those of `defaults`, key by key


class JobsFile(Struct, frozen=True):
    """What one file says. With `errors` it says nothing: it can not be read as a whole."""

    jobs: dict[str, Job] = {}
    refused: tuple[Problem, ...] = ()  # of jobs that are left out
    errors: tuple[Problem, ...] = ()


def read_jobs_file(path: Path, known: Known, others: dict[str, Place]) -> JobsFile:
    """`others`: jobs of files read before, and where each stands."""
    problems = Problems(str(path))
    root = parse_file(path, problems)
    fields = Reading(problems).fields(root, KEYS) if root else None
    defaults: dict[str, Any] = {}
    nodes: list[Node] = []
    if fields:
        reader = JobReader(Reading(problems), known)
        defaults = fields.given("defaults", lambda one: reader.values(one, (*COMMON,)), {})
        nodes = fields.given("jobs", Reading(problems).items, [])
    if problems.errors:
        return JobsFile(errors=problems.errors)
    jobs: dict[str, Job] = {}
    places = dict(others)
    refused: list[Problem] = []
    for node in nodes:
        job, wrong = _job(str(path), node, known, defaults, places)
        refused += wrong
        if job:
            jobs[job.name] = job
            places[job.name] = job.place
    return JobsFile(jobs=jobs, refused=tuple(refused))


def _job(
    file: str, node: Node, known: Known, defaults: dict[str, Any], others: dict[str, Place]
) -> tuple[Job | None, list[Problem]]:
    """With problems of its own: what aliases share is told for each job that has it."""
    problems = Problems(file)
    reader = JobReader(Reading(problems), known)
    own = reader.values(node, (*OWN_KEYS, *COMMON), required=("name", "steps"))
    name = own.get("name", "")
    if name in others:
        first = others[name]
        problems.refuse(node, "a second job of this name", f"the first is in {first.file}:{first.line}")
    if problems.errors:
        whose = f"job {name!r}" if name else "a job"
        return None, [
            msgspec.structs.replace(one, message=f"{whose} is not registered: {one.message}") for one in problems.errors
        ]
    joined = {key: {**defaults.get(key, {}), **own.get(key, {})} for key in _JOINED}
    return Job(place=Place(file, node.line, node.column), **{**defaults, **own, **joined}), []


class JobReader:
    """Reads what a job or `defaults` says, by field of Job. What is absent is not in the result."""

    def __init__(self, reading: Reading, known: Known) -> None:
        self.reading = reading
        self.known = known

    def values(self, node: Node, allowed: tuple[str, ...], required: tuple[str, ...] = ()) -> dict[str, Any]:
        fields = self._fields(node, allowed, required)
        if fields is None:
            return {}
        found = {
            _FIELDS.get(key, key): fields.read(key, lambda one, read=READERS[key]: read(self, one))  # type: ignore[misc]
            for key in allowed
            if key in fields
        }
        return {key: value for key, value in found.items() if value is not None}

    def _fields(self, node: Node, allowed: tuple[str, ...], required: tuple[str, ...]) -> Fields | None:
        matrix = [key for key in _MATRIX if isinstance(node, Mapping) and key in node.entries]
        if matrix and isinstance(node, Mapping):
            message = "matrix jobs are not supported"
            self.reading.refuse(node.entries[matrix[0]].key, message, "write one job for each combination")
        return self.reading.fields(node, (*allowed, *matrix), required)

    def name(self, node: Node) -> str | None:
        return values.job_name(self.reading, node)

    def text(self, node: Node) -> str | None:
        return values.plain_text(self.reading, node)

    def truth(self, node: Node) -> bool | None:
        return self.reading.truth(node)

    def duration(self, node: Node) -> float | None:
        return values.duration(self.reading, node)

    def variable(self, node: Node) -> str | None:
        name = self.reading.name(node)
        if name and not values.VARIABLE.fullmatch(name):
            self.reading.refuse(node, f"{name!r} can not be the name of a variable")
        return name

    def throttle(self, node: Node) -> Throttle | None:
        fields = self.reading.fields(node, THROTTLE_KEYS, required=THROTTLE_KEYS)
        if fields is None:
            return None
        most = fields.given("max", self.reading.at_least(1), 1)
        return Throttle(group=fields.given("group", self.reading.name, ""), most=most)

    def workspace(self, node: Node) -> str | None:
        if isinstance(node, Scalar) and node.kind == "str":
            self.reading.refuse(node, "expected a dictionary", f"write {{custom: {node.value}}}")
            return None
        fields = self.reading.fields(node, ("custom",), required=("custom",))
        return fields.read("custom", lambda one: values.outer_path(self.reading, one)) if fields else None

    def scm(self, node: Node) -> Git | None:
        outer = self.reading.fields(node, ("git",), required=("git",))
        fields = outer.read("git", lambda one: self.reading.fields(one, GIT_KEYS)) if outer else None
        if fields is None:
            return None
        given: dict[str, Any] = {key: fields.read(key, self._git_name) for key in ("url", "ref", "commit")}
        given |= {key: fields.read(key, self.reading.truth) for key in ("clean", "submodules")}
        given["folder"] = fields.read("folder", lambda one: values.inner_path(self.reading, one))
        return Git(**{key: value for key, value in given.items() if value is not None})

    def _git_name(self, node: Node) -> str | None:
        text = self.text(node)
        if text and text.startswith("-"):
            self.reading.refuse(node, "this begins with -, as an option of git does")
        return text

    def env(self, node: Node) -> dict[str, str]:
        return environment(self.reading, node)

    def params(self, node: Node) -> dict[str, str]:
        return parameters(self.reading, node)

    def allow_params(self, node: Node) -> tuple[str, ...]:
        return self.reading.one_or_list(self.variable)(node)

    def steps(self, node: Node) -> Any:
        return read_steps(self.reading, node)

    def publish(self, node: Node) -> Any:
        return read_publishers(self.reading, node, self.known)

    def cleanup(self, node: Node) -> str | None:
        return self.reading.choice(("never", "success", "always"))(node)

    def timeout_result(self, node: Node) -> str | None:
        return self.reading.choice(("TIMED_OUT", "ABORTED", "FAILURE"))(node)

    def retry_infra(self, node: Node) -> int | None:
        tries = self.reading.at_least(0)(node)
        if tries is not None and tries > MAXIMUM_TRIES:
            self.reading.refuse(node, f"value must be at most {MAXIMUM_TRIES}")
        return tries

    def keep(self, node: Node) -> Keep | None:
        fields = self.reading.fields(node, KEEP_KEYS)
        return Keep(**{key: self._kept(fields[key]) for key in KEEP_KEYS if key in fields}) if fields else None

    def _kept(self, node: Node) -> int | None:
        if isinstance(node, Scalar) and node.value == FOREVER:
            return None
        if isinstance(node, Scalar) and node.kind == "int":
            return self.reading.at_least(1)(node)
        self.reading.refuse(node, f"expected a number or {FOREVER}")
        return None

    def credentials(self, node: Node) -> tuple[Credential, ...]:
        found: list[Credential] = []
        for variable, entry in self.reading.entries(node).items():
            if not values.VARIABLE.fullmatch(variable):
                self.reading.refuse(entry.key, f"{variable!r} can not be the name of a variable")
            found += self._credentials_of(variable, entry.value)
        return tuple(found)

    def _credentials_of(self, variable: str, node: Node) -> list[Credential]:
        """A name is one of a secret text; `{KIND: NAME}` gives it in another form; an agent may have several keys."""
        kind = "text"
        secrets: list[Node] = [node]
        if isinstance(node, Mapping):
            fields = self.reading.fields(node, SECRET_PARTS)
            if fields is None or len(node.entries) != 1:
                self.reading.refuse(node, "expected one key", f"one of {', '.join(SECRET_PARTS)}")
                return []
            kind, entry = next(iter(node.entries.items()))
            value = entry.value
            secrets = value.items if isinstance(value, Sequence) and kind == "ssh-agent" else [value]
        names = [(one, self.reading.name(one)) for one in secrets]
        return [self._credential(variable, kind, one, name) for one, name in names if name]

    def _credential(self, variable: str, kind: Any, node: Node, name: str) -> Credential:
        wrong, hint = self.known.what_is_wrong_with_a_secret(name, kind)
        if wrong:
            self.reading.refuse(node, wrong, self.reading.alike(name, set(self.known.secrets) - {name}) or hint)
        return Credential(variable=variable, secret=name, kind=kind)


READERS: dict[str, Callable[[JobReader, Node], Any]] = {
    "name": JobReader.name,
    "description": JobReader.text,
    "disabled": JobReader.truth,
    "steps": JobReader.steps,
    "node": lambda reader, node: values.expression(reader.reading, node),
    "timeout": JobReader.duration,
    "timeout_result": JobReader.timeout_result,
    "timeout_var": JobReader.variable,
    "publish_timeout": JobReader.duration,
    "concurrent": JobReader.truth,
    "throttle": JobReader.throttle,
    "workspace": JobReader.workspace,
    "scm": JobReader.scm,
    "env": JobReader.env,
    "params": JobReader.params,
    "allow_params": JobReader.allow_params,
    "credentials": JobReader.credentials,
    "publish": JobReader.publish,
    "cleanup": JobReader.cleanup,
    "clean_first": JobReader.truth,
    "keep": JobReader.keep,
    "retry_infra": JobReader.retry_infra,
}
COMMON = tuple(key for key in READERS if key not in OWN_KEYS)
