"""What a layout of Zuul 2 means elsewhere than there: each place that this program reads or carries out differently.

Rows are those of the table in doc/migrating.rst. Named is what the file itself shows; what only shows when something
fails is in the table alone. Reads nodes and the layout made of them, and nothing else.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from zuul_launcher.layout.files import Joined
from zuul_launcher.layout.jobs import NOOP
from zuul_launcher.model.change import normal_label
from zuul_launcher.model.layout import Job, JobNode, Layout, Pipeline, Project
from zuul_launcher.yamlfile.tree import Entry, Mapping, Node, Scalar, Sequence

Kind = Literal["kept", "changes", "unsupported"]

_ACTIONS = ("start", "success", "failure", "merge-failure", "disabled")
_MESSAGES = ("success-message", "failure-message", "merge-failure-message", "footer-message")


class Finding(Struct, frozen=True):
    """One place of a file, and what becomes of it. `row`: of the table, if it has one."""

    kind: Kind
    file: str
    line: int
    text: str
    row: int | None = None

    def __str__(self) -> str:
        row = f"row {self.row}: " if self.row is not None else ""
        return f"{self.file}:{self.line}: {row}{self.text}"


def layout_findings(
    path: Path, files: Joined, layout: Layout, drivers: dict[str, str], options: frozenset[str]
) -> list[Finding]:
    """In the order of kinds, files and lines; what aliases share is told once.

    `drivers`: connection -> driver. `options`: keys of a Gerrit reporter that are options with a value, not labels.
    """
    search = _Search(path, layout, drivers, options)
    sections = files.sections
    search.look_at_whole(files.includes)
    for node in _mappings(sections.get("pipelines")):
        search.look_at_pipeline(node)
    for node in _mappings(sections.get("jobs")):
        search.look_at_job(node)
    for node in _mappings(sections.get("projects")):
        search.look_at_project(node)
    return sorted(search.found, key=lambda one: (one.kind, one.file != search.file, one.file, one.line, one.row or 0))


class _Search:
    def __init__(self, path: Path, layout: Layout, drivers: dict[str, str], options: frozenset[str]) -> None:
        self.file = str(path)
        self.layout = layout
        self.drivers = drivers
        self.options = options
        self.found: dict[Finding, None] = {}

    def _add(self, kind: Kind, node: Node, text: str, row: int | None = None) -> None:
        self.found[Finding(kind, node.file or self.file, node.line, text, row)] = None

    def _change(self, row: int, node: Node, text: str) -> None:
        self._add("changes", node, text, row)

    def look_at_whole(self, includes: list[Node]) -> None:
        layout = self.layout
        counts = f"{len(layout.pipelines)} pipelines, {len(layout.jobs):,} jobs, {len(layout.projects):,} projects"
        self.found[Finding("kept", self.file, 1, f"the layout is read as it is: {counts}")] = None
        for node in (one for one in includes if isinstance(one, Mapping)):
            for entry in _some(node, ["python-file"]):
                self._add("kept", entry.key, "the python file is used as it is, in a process of its own")

    # Pipelines

    def look_at_pipeline(self, node: Mapping) -> None:
        pipeline = self.layout.pipelines[_name(node)]
        place = node.entries["name"].value
        for entry in _some(node, ["reject"]):
            self._change(1, entry.key, "a change without any vote passes; in v2 it was refused")
        self._look_at_reporters(node, pipeline)
        self._look_at_triggers(node)
        self._look_at_messages(node, _MESSAGES)
        for entry in _some(node, ["disabled"]):
            self._change(
                24, entry.key, "a disabled pipeline reports merge failures with their own text; v2 failed there"
            )
        queues = {
            pipeline.shared_queues[name]
            for name, project in self.layout.projects.items()
            if name in pipeline.shared_queues and NOOP in _jobs(project.pipelines[pipeline.name])
        }
        if len(queues) > 1:
            text = (
                f"`noop` does not join projects to one queue; in v2 it joined {len(queues)} queues of {pipeline.name}"
            )
            self._change(3, place, text)

    def _look_at_reporters(self, node: Mapping, pipeline: Pipeline) -> None:
        kinds = {trigger for entry in _some(node, ["trigger"]) for trigger in _keys(entry.value)}
        refs = "timer" in kinds or any("ref-updated" in _texts(one.get("event")) for one in self._gerrit_filters(node))
        for action in _some(node, _ACTIONS):
            for name, reporter in _entries(action.value).items():
                driver = self.drivers.get(name)
                if refs and driver in ("gerrit", "sql"):
                    what = "is skipped" if driver == "gerrit" else "writes empty columns"
                    self._change(23, reporter.key, f"for a ref that is no change it {what}; v2 failed there")
                if driver == "gerrit":
                    self._look_at_review(_entries(reporter.value), is_gate=pipeline.kind == "dependent")

    def _look_at_review(self, options: dict[str, Entry], *, is_gate: bool) -> None:
        for key, entry in options.items():
            if key in self.options:
                self._change(2, entry.key, f"`{key}` is sent as the option --{key}; v2 sent it as a label")
            elif is_gate and key == normal_label(key) and not isinstance(_value(entry.value), bool):
                text = (
                    f"the label `{key}` may be one that is missing yet, however Gerrit spells it; v2 compared exactly"
                )
                self._change(2, entry.key, text)

    def _gerrit_filters(self, node: Mapping) -> Iterator[dict[str, Node]]:
        for trigger in _some(node, ["trigger"]):
            for name, entry in _entries(trigger.value).items():
                if self.drivers.get(name) == "gerrit":
                    yield from (
                        {key: one.value for key, one in each.entries.items()} for each in _mappings(entry.value)
                    )

    def _look_at_triggers(self, node: Mapping) -> None:
        several = sum(driver == "gerrit" for driver in self.drivers.values()) > 1
        for trigger in _some(node, ["trigger"]):
            names = _keys(trigger.value)
            if "timer" in names and any(self.drivers.get(name) == "gerrit" for name in names):
                self._change(21, trigger.key, "timer and Gerrit in one pipeline work; v2 failed when it compared them")
            for name, entry in _entries(trigger.value).items():
                if several and self.drivers.get(name) == "gerrit":
                    self._change(18, entry.key, f"only events of {name} count; in v2 those of every Gerrit did")
                for one in _mappings(entry.value):
                    self._look_at_filter(one, name)

    def _look_at_filter(self, node: Mapping, trigger: str) -> None:
        events = {event for entry in _some(node, ["event"]) for event in _texts(entry.value)}
        for entry in _some(node, ["reject-approval"]):
            self._change(1, entry.key, "a change without any vote passes; in v2 it was refused")
        if "ref-updated" in events:
            for entry in _some(node, ["branch"]):
                self._change(17, entry.key, "`branch` lets no update of a ref through; v2 failed at each")
        if trigger == "zuul" and len(events) > 1:
            self._change(27, node.entries["event"].key, "both events count; in v2 one hid the other")
        for entry in _some(node, ["time"]):
            self._look_at_time(entry)

    def _look_at_time(self, entry: Entry) -> None:
        fields = str(_value(entry.value)).split()
        if len(fields) not in (5, 6):
            return
        if fields[3] != "*":
            self._change(20, entry.key, "the month counts; v2 read it and did not use it")
        if any(letter.isdigit() for letter in fields[4].partition("/")[0]):
            self._change(20, entry.key, "days of the week are counted from Sunday = 0; v2 counted from Monday = 0")

    def _look_at_messages(self, node: Mapping, keys: Iterable[str]) -> None:
        for entry in _some(node, keys):
            if '"' in str(_value(entry.value)):
                self._change(22, entry.key, 'a `"` in a message is said as it is; in v2 the report failed')

    # Jobs and projects

    def look_at_job(self, node: Mapping) -> None:
        self._look_at_messages(node, ("success-message", "failure-message"))
        if _name(node).startswith("^"):
            for entry in _some(node, ("queue-name", "attempts")):
                self._change(16, entry.key, f"`{_value(entry.key)}` of this entry counts; v2 ignored it here")
        for entry in _some(node, ["swift"]):
            self._add("unsupported", entry.key, "uploads to Swift: the job gets no parameters for them")

    def look_at_project(self, node: Mapping) -> None:
        project = self.layout.projects[_name(node)]
        place = node.entries["name"].value
        jobs = self.layout.jobs
        for name, tree in project.pipelines.items():
            if not tree:
                continue
            names = _jobs(tree)
            if self.layout.pipelines[name].kind == "dependent" and not any(jobs[job].voting for job in names):
                text = f"in {name} no job votes: a change that can not be merged fails; in v2 it passed"
                self._change(6, place, text)
            for job in sorted({job for job in names if names.count(job) > 1}):
                self._change(32, place, f"in {name} the job {job} is shown once; v2 showed it at each of its places")
        for parent, child in sorted(_families(project)):
            if _may_be_left_out(jobs[parent]) and _conditions(jobs[parent]) != _conditions(jobs[child]):
                text = (
                    f"{child} does not run where its parent {parent} does not apply; in v2 the change waited for ever"
                )
                self._change(4, place, text)


def _jobs(nodes: Iterable[JobNode]) -> list[str]:
    """All names in a tree, each as often as it stands there."""
    return [name for node in nodes for name in (node.job, *_jobs(node.children))]


def _families(project: Project) -> set[tuple[str, str]]:
    """Parent and child, of all trees of the project."""
    found: set[tuple[str, str]] = set()
    waiting = [node for tree in project.pipelines.values() for node in tree]
    while waiting:
        node = waiting.pop()
        found |= {(node.job, child.job) for child in node.children}
        waiting += node.children
    return found


def _conditions(job: Job) -> tuple[object, ...]:
    return job.branches, job.files, job.skip_if


def _may_be_left_out(job: Job) -> bool:
    return any(_conditions(job))


def _mappings(node: Node | None) -> list[Mapping]:
    """Of one or a list."""
    nodes = node.items if isinstance(node, Sequence) else [node]
    return [one for one in nodes if isinstance(one, Mapping)]


def _entries(node: Node) -> dict[str, Entry]:
    return node.entries if isinstance(node, Mapping) else {}


def _keys(node: Node) -> list[str]:
    return list(_entries(node))


def _some(node: Mapping, keys: Iterable[str]) -> list[Entry]:
    return [node.entries[key] for key in keys if key in node.entries]


def _value(node: Node) -> object:
    return node.value if isinstance(node, Scalar) else None


def _texts(node: Node | None) -> list[str]:
    nodes = node.items if isinstance(node, Sequence) else [node]
    return [str(one.value) for one in nodes if isinstance(one, Scalar)]


def _name(node: Mapping) -> str:
    return str(_value(node.entries["name"].value))
