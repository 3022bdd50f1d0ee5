"""A layout in several files: `- yaml-file: PATH` under `includes` adds the lists of a further file behind its own.

The order is that of reading: a file's own lists, then those of each file that it includes, one after the other.
"""

from dataclasses import dataclass, field
from pathlib import Path

from zuul_launcher.layout.includes import path_from
from zuul_launcher.yamlfile.problems import FileErrors, Problems
from zuul_launcher.yamlfile.reading import EXTRA, Reading
from zuul_launcher.yamlfile.tree import Mapping, Node, Sequence, parse_file

INCLUDES = "includes"
MALFORMED = "Malformed layout configuration: top-level type should be a dictionary"
KEYS = (INCLUDES, "pipelines", "jobs", "project-templates", "projects")


@dataclass
class Joined:
    """All files as one: `sections` by top-level key, without includes; of those, what is no YAML file."""

    sections: dict[str, Node] = field(default_factory=dict)
    includes: list[Node] = field(default_factory=list)


def read_files(path: Path) -> Joined:
    """The files of a layout as nodes, for who looks at how it is written. Raises FileErrors if they are no YAML."""
    problems = Problems(str(path), MALFORMED)
    root = parse_file(path, problems)
    joined = join_files(Reading(problems), root, path) if root else None
    if problems.errors or joined is None:
        raise FileErrors(problems.errors)
    return joined


def join_files(reading: Reading, root: Node, layout: Path) -> Joined | None:
    """None: the root is no dictionary, which is reported."""
    joining = _Joining(reading, layout)
    if not joining.add(root):
        return None
    return Joined({key: joining.section(nodes) for key, nodes in joining.parts.items()}, joining.includes)


class _Joining:
    def __init__(self, reading: Reading, layout: Path) -> None:
        self.reading = reading
        self.layout = layout
        self.parts: dict[str, list[Node]] = {}  # by key, one of each file that has it
        self.includes: list[Node] = []
        self.read: dict[Path, Node | None] = {layout.resolve(): None}  # where each file is included

    def add(self, root: Node) -> bool:
        """One file and all that it includes."""
        if not isinstance(root, Mapping):
            self.reading.refuse(root, MALFORMED)
            return False
        for key, entry in root.entries.items():
            if key not in KEYS:
                self.reading.refuse(entry.key, f"{EXTRA}: {key!r}", self.reading.alike(key, KEYS))
            elif key != INCLUDES:
                self.parts.setdefault(key, []).append(entry.value)
        if INCLUDES in root.entries:
            for one in self.reading.items(root.entries[INCLUDES].value):
                if isinstance(one, Mapping) and "yaml-file" in one.entries:
                    self._include(one)
                else:
                    self.includes.append(one)
        return True

    def section(self, nodes: list[Node]) -> Node:
        """What is no list in one of several files is reported here, else by whoever reads it."""
        if len(nodes) == 1:
            return nodes[0]
        joined = Sequence(nodes[0].line, nodes[0].column, nodes[0].file)
        joined.items = [item for node in nodes for item in self.reading.items(node)]
        return joined

    def _include(self, node: Mapping) -> None:
        fields = self.reading.fields(node, ("yaml-file",))
        text = fields.read("yaml-file", self.reading.name) if fields else None
        if fields is None or text is None:
            return
        place = fields["yaml-file"]
        try:
            path = path_from(self.layout, text)
            with path.open("rb"):
                real = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self.reading.refuse(place, f"yaml-file {text!r} can not be read: {reason}")
            return
        if real in self.read:
            first = self.read[real]
            hint = f"first in {self.reading.problems.place_of(first)}" if first else "it is the layout itself"
            self.reading.refuse(place, f"yaml-file {text!r} is read a second time", hint)
            return
        self.read[real] = place
        root = parse_file(path, self.reading.problems, str(path))
        if root is not None:
            self.add(root)
