"""Sources for agents: what may be sent, and what they are going to need next. Controller only.

1. Only modules under ship roots, and only their source text, and the data files that `allow` names: a hostile agent
   learns nothing else. Nothing is imported to find a module.
2. A source is read once in a process, so all agents get the same; its hash is its identity.
3. The answer for a module brings its direct imports along, without source where the agent has it.
4. A data file has a name as `package:path`, and travels like a source: each byte is a character. The source of
   `package:` is the list of the paths, one a line.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from zuul_launcher.remoting import codec, frames
from zuul_launcher.remoting.channel import Channel, Modules
from zuul_launcher.remoting.datafiles import read_data
from zuul_launcher.remoting.errors import ProtocolError
from zuul_launcher.remoting.frames import Frame
from zuul_launcher.remoting.globs import select

LOG = logging.getLogger(__name__)
_OUTSIDE = "module %.200r was asked for, which is not under a ship root"
ROOTS = ("zuul_launcher.remoting", "cloudpickle")


class Found(NamedTuple):
    """A module of this process, or why it cannot be sent."""

    status: str  # "source", or the reason
    digest: str = ""
    is_package: bool = False
    source: str = ""


_ABSENT = Found("absent")
_found: dict[str, Found] = {}
_lock = threading.Lock()
_parsing = threading.Lock()  # ast.parse fails in threads that do it at once: SystemError, in Python 3.11


def find(name: str) -> Found:
    """The module by that name, allowed or not."""
    with _lock:
        if name not in _found:
            _found[name] = _look(name)
        return _found[name]


def _look(name: str) -> Found:
    if not all(part.isidentifier() for part in name.split(".")):
        return _ABSENT
    try:
        spec = _spec(name)
    except (ImportError, AttributeError, ValueError, OSError):
        spec = None
    if spec is None:
        return _ABSENT
    is_package = spec.submodule_search_locations is not None
    if spec.origin is None or spec.loader is None:
        return Found("it is a namespace package without source", is_package=is_package)
    if not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
        kind = "an extension module" if spec.origin.endswith((".so", ".pyd")) else "not a source file"
        return Found(f"it is {kind} ({Path(spec.origin).name})", is_package=is_package)
    try:
        source = importlib.util.decode_source(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        return Found(f"it cannot be read ({error})", is_package=is_package)
    return Found("source", hashlib.sha256(source.encode()).hexdigest(), is_package, source)


def data_file(name: str, allowed: dict[str, list[str]]) -> Found | None:
    """What `package:path` stands for. None: no such file is allowed, or there is none."""
    package, _, path = name.partition(":")
    texts = []
    for root, patterns in allowed.items():
        spec = _spec(root)
        folders = None if spec is None else spec.submodule_search_locations
        if folders and f"{package}.".startswith(f"{root}.") and find(package).is_package:
            below = package[len(root) + 1 :].replace(".", "/")
            texts.append(read_data(Path(next(iter(folders))), below, path, patterns))
    known = [text for text in texts if text is not None]
    if not known:
        return None
    text = known[0] if path else "\n".join(filter(None, known))
    return Found("source", hashlib.sha256(text.encode()).hexdigest(), False, text)


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """As an import would find it, without importing its parents."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None:
        return loaded  # type: ignore[no-any-return] # what a module's __spec__ is
    parent, _, _ = name.rpartition(".")
    if not parent:
        return importlib.util.find_spec(name)
    above = _spec(parent)
    if above is None or above.submodule_search_locations is None:
        return None
    return importlib.machinery.PathFinder.find_spec(name, above.submodule_search_locations)


def imports(name: str, found: Found) -> Iterator[str]:
    """Names of modules that the source imports at its top, where they can be told from the text."""
    package = name if found.is_package else name.rpartition(".")[0]
    try:
        with _parsing:
            body = ast.parse(found.source).body
    except (SyntaxError, ValueError, RecursionError):
        return  # who imports it will be told
    for node in _at_the_top(body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0]
                module = f"{above}.{module}" if module else above
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _at_the_top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.Try) or (isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test)):
            yield from _at_the_top([*node.body, *node.orelse])
        else:
            yield node


class Shipping(Modules):
    """What one agent may have, and has got."""

    def __init__(self, bundled: list[str]) -> None:
        self._roots = list(ROOTS)
        self._data: dict[str, list[str]] = {}  # package → patterns of its files
        self._known: set[str] = set()  # hashes in the agent's cache
        self._bundled = frozenset(bundled)  # came with the agent
        self._sent: dict[str, int] = {}  # name → how often its source was sent

    def allow(self, channel: Channel, package: str, data: Sequence[str]) -> None:
        select(data)
        with _lock:
            if _look(package).status == "absent":
                raise ModuleNotFoundError(f"there is no module {package!r:.200} here that could be sent", name=package)
            if _found.get(package, _ABSENT) == _ABSENT:
                _found.pop(package, None)  # it has come since somebody asked
        new = [pattern for pattern in data if pattern not in self._data.get(package, ())]
        if new:
            self._data[package] = [*self._data.get(package, ()), *new]
        if package not in self._roots:
            self._roots.append(package)
            new.append(package)
        if new:
            channel.send(frames.MODULE_RES, 0, codec.encode(self._roots))

    def requested(self, channel: Channel, message: Frame) -> None:
        content = codec.decode(message.body)
        if (
            type(content) is not list
            or len(content) != 2
            or type(content[0]) is not str
            or type(content[1]) is not list
        ):
            raise ProtocolError("a request for a module that is none")
        name, offered = content
        self._known.update(digest for digest in offered if type(digest) is str)
        channel.wire.post(frames.MODULE_RES, message.request, codec.encode(self._records(name, channel.name)))

    def _records(self, name: str, channel: str) -> list[list[object]]:
        found = self._allowed(name)
        if found is None:
            what = "data file %.200r was asked for, which is not allowed" if ":" in name else _OUTSIDE
            LOG.warning(f"%s: the {what}: refused", channel, name)
            return [[name, "absent", "", False, None]]
        records = [self._record(name, found)]
        if ":" in name:
            return records
        if found.status == "source":
            for needed in dict.fromkeys(imports(name, found)):
                if needed not in self._sent and needed not in self._bundled:
                    other = self._allowed(needed)
                    if other is not None and other.status == "source":
                        records.append(self._record(needed, other))
        return records

    def _allowed(self, name: str) -> Found | None:
        """None: it is not under a ship root, or no data file. What lies above a root is an empty package."""
        if ":" in name:
            return data_file(name, self._data)
        if any(f"{name}.".startswith(f"{root}.") for root in self._roots):
            return find(name)
        if any(root.startswith(f"{name}.") for root in self._roots):
            return Found("source", hashlib.sha256(b"").hexdigest(), True, "")
        return None

    def _record(self, name: str, found: Found) -> list[object]:
        needs_source = found.status == "source" and found.digest not in self._known
        self._sent[name] = self._sent.get(name, 0) + needs_source
        return [name, found.status, found.digest, found.is_package, found.source if needs_source else None]

    def dump(self) -> list[str]:
        how = {0: " (hash only)", 1: ""}
        return [f"{name}{how.get(count, f' ({count} times)')}" for name, count in sorted(self._sent.items())]
