"""`project-templates:` and `projects:` - the job tree of each project in each pipeline, templates filled in."""

from dataclasses import dataclass, field
from typing import Any

from zuul_launcher.layout import jobtree
from zuul_launcher.layout.jobtree import Twig, Unusable
from zuul_launcher.model.layout import JobNode, Project
from zuul_launcher.yamlfile.reading import EXTRA, REQUIRED, Fields, Reading
from zuul_launcher.yamlfile.tree import Mapping, Node

MAXIMUM_ENTRIES = 1_000_000  # jobs in all trees together

_MERGE_MODES = ("merge", "merge-resolve", "cherry-pick")

Trees = dict[str, tuple[JobNode, ...]]  # by pipeline


@dataclass
class Template:
    trees: dict[str, tuple[Twig, ...]]
    parameters: set[str]
    is_broken: bool
    filled: dict[tuple[tuple[str, str], ...], Trees] = field(default_factory=dict)

    def expanded(self, values: dict[str, str]) -> Trees:
        """Computed once for the same values of the parameters that occur. Raises Unusable."""
        key = tuple((name, values[name]) for name in sorted(self.parameters))
        if key not in self.filled:
            self.filled[key] = {pipeline: jobtree.expand(twigs, values) for pipeline, twigs in self.trees.items()}
        return self.filled[key]


class ProjectReading:
    """Reads templates, then projects. `pipelines` are the names that may be used; None: nothing is known of them."""

    def __init__(self, reading: Reading, pipelines: list[str] | None) -> None:
        self.reading = reading
        self.pipelines = pipelines
        self.templates: dict[str, Template] = {}
        self.entries = 0  # jobs in all trees so far, before joining
        self._joined: dict[tuple[int, ...], tuple[list[tuple[JobNode, ...]], tuple[JobNode, ...], int]] = {}

    def read_templates(self, node: Node) -> None:
        seen: dict[str, Node] = {}
        for one in self.reading.items(node):
            fields = self._fields(one, ("name",))
            name = fields.read("name", self.reading.name) if fields else None
            if fields is None or name is None or not self.reading.unique(seen, name, fields["name"]):
                continue
            before = self.reading.problems.count()
            trees = self._trees(fields, ("name",), is_template=True)
            found = set().union(*(jobtree.parameters(twigs) for twigs in trees.values()))
            self.templates[name] = Template(trees, found, is_broken=self.reading.problems.count() > before)

    def read_projects(self, node: Node) -> dict[str, Project]:
        seen: dict[str, Node] = {}
        projects: dict[str, Project] = {}
        keys = ("name", "merge-mode", "template")
        for one in self.reading.items(node, "expected a list for dictionary value"):
            fields = self._fields(one, keys)
            name = fields.read("name", self.reading.name) if fields else None
            if fields is None or name is None or not self.reading.unique(seen, name, fields["name"]):
                continue
            calls = self.reading.items(fields["template"]) if "template" in fields else []
            parts = [self._called(call, name) for call in calls]
            own = self._trees(fields, keys, is_template=False)
            parts.append({pipeline: jobtree.expand(twigs, {}) for pipeline, twigs in own.items()})
            mode: Any = fields.given("merge-mode", self.reading.choice(_MERGE_MODES), "merge-resolve")
            projects[name] = Project(name=name, merge_mode=mode, pipelines=self._join(parts))
            if self.entries > MAXIMUM_ENTRIES:
                self.reading.refuse(one, f"from here on there are more than {MAXIMUM_ENTRIES:,} jobs in all projects")
                break
        return projects

    def _fields(self, node: Node, keys: tuple[str, ...]) -> Fields | None:
        allowed = [*keys, *(self.pipelines or ())]
        if self.pipelines is None and isinstance(node, Mapping):
            allowed += node.entries
        return self.reading.fields(node, allowed, required=["name"])

    def _trees(self, fields: Fields, keys: tuple[str, ...], is_template: bool) -> dict[str, tuple[Twig, ...]]:
        return {
            key: jobtree.read_tree(self.reading, entry.value, is_template)
            for key, entry in fields.node.entries.items()
            if key not in keys
        }

    def _called(self, node: Node, project: str) -> Trees:
        """One entry of `template:`, filled in for the project."""
        if not isinstance(node, Mapping):
            self.reading.refuse(node, "expected a dictionary", "write `- name: TEMPLATE`")
            return {}
        fields = Fields(node, self.reading)
        name = fields.read("name", self.reading.name)
        if name is None or name not in self.templates:
            if name is not None:
                hint = self.reading.alike(name, self.templates) or "define it in `project-templates`"
                self.reading.refuse(fields["name"], f"unknown template {name!r}", hint)
            elif "name" not in fields:
                self.reading.refuse(node, f"{REQUIRED}: 'name'")
            return {}
        template = self.templates[name]
        if template.is_broken:
            return {}
        values = {key: fields.read(key, self.reading.text) for key in node.entries if key != "name"}
        wanted = template.parameters - {"name"}
        for key in sorted(wanted - set(values)):
            self.reading.refuse(node, f"{REQUIRED}: {key!r}", f"template {name} has this parameter")
        for key in sorted(set(values) - wanted):
            hint = self.reading.alike(key, wanted) or f"template {name} has no such parameter"
            self.reading.refuse(node.entries[key].key, f"{EXTRA}: {key!r}", hint)
        texts = {key: text for key, text in values.items() if text is not None}
        if wanted - set(texts):
            return {}
        try:
            return template.expanded({**texts, "name": project.rpartition("/")[2]})
        except Unusable as error:
            self.reading.refuse(node, f"template {name}: {error}")
            return {}

    def _join(self, parts: list[Trees]) -> Trees:
        """Templates in the order of their calls, then the project's own, pipeline by pipeline."""
        lists: dict[str, list[tuple[JobNode, ...]]] = {}
        for trees in parts:
            for pipeline, tree in trees.items():
                lists.setdefault(pipeline, []).append(tree)
        return {pipeline: self._joined_once(trees) for pipeline, trees in lists.items()}

    def _joined_once(self, trees: list[tuple[JobNode, ...]]) -> tuple[JobNode, ...]:
        """Most projects are made of the same templates: the same trees are joined once and shared."""
        key = tuple(map(id, trees))
        if key not in self._joined:
            tree = jobtree.join(node for nodes in trees for node in nodes)
            size = sum(map(jobtree.count, trees))
            self._joined[key] = (trees, tree, size)  # the parts are kept, so that no other tree gets their ids
        _, tree, size = self._joined[key]
        self.entries += size
        return tree
