"""Sources for agents: what may be sent, and what they are going to need next. Controller only.

1. Only modules under ship roots, and only their source text: a hostile agent learns nothing else. Nothing is imported
   to find a module.
2. A source is read once in a process, so all agents get the same; its hash is its identity.
3. The answer for a module brings its direct imports along, without source where the agent has it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from zuul_launcher.remoting import codec, frames
from zuul_launcher.remoting.channel import Channel, Modules
from zuul_launcher.remoting.errors import ProtocolError
from zuul_launcher.remoting.frames import Frame

LOG = logging.getLogger(__name__)
ROOTS = ("zuul_launcher.remoting", "cloudpickle")


class Found(NamedTuple):
    """A module of this process, or why it cannot be sent."""

    status: str  # "source", or the reason
    digest: str = ""
    is_package: bool = False
    source: str = ""


_found: dict[str, Found] = {}
_lock = threading.Lock()


def find(name: str) -> Found:
    """The module by that name, allowed or not."""
    with _lock:
        if name not in _found:
            _found[name] = _look(name)
        return _found[name]


def _look(name: str) -> Found:
    if not all(part.isidentifier() for part in name.split(".")):
        return Found("absent")
    try:
        spec = _spec(name)
    except (ImportError, AttributeError, ValueError, OSError):
        spec = None
    if spec is None:
        return Found("absent")
    is_package = spec.submodule_search_locations is not None
    if spec.origin is None or spec.loader is None:
        return Found("it is a namespace package without source", is_package=is_package)
    if not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
        kind = "an extension module" if spec.origin.endswith((".so", ".pyd")) else "not a source file"
        return Found(f"it is {kind} ({Path(spec.origin).name})", is_package=is_package)
    source = importlib.util.decode_source(Path(spec.origin).read_bytes())
    return Found("source", hashlib.sha256(source.encode()).hexdigest(), is_package, source)


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
    for node in _at_the_top(ast.parse(found.source).body):
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
        self._known: set[str] = set()  # hashes in the agent's cache
        self._bundled = frozenset(bundled)  # came with the agent
        self._sent: dict[str, bool] = {}  # name → with its source

    def allow(self, channel: Channel, package: str) -> None:
        if package not in self._roots:
            self._roots.append(package)
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
            LOG.warning("%s: the module %.200r was asked for, which is not under a ship root: refused", channel, name)
            return [[name, "absent", "", False, None]]
        records = [self._record(name, found)]
        if found.status == "source":
            for needed in dict.fromkeys(imports(name, found)):
                if needed not in self._sent and needed not in self._bundled:
                    other = self._allowed(needed)
                    if other is not None and other.status == "source":
                        records.append(self._record(needed, other))
        return records

    def _allowed(self, name: str) -> Found | None:
        """None: it is not under a ship root. What lies above one is an empty package."""
        if any(f"{name}.".startswith(f"{root}.") for root in self._roots):
            return find(name)
        if any(root.startswith(f"{name}.") for root in self._roots):
            return Found("source", hashlib.sha256(b"").hexdigest(), True, "")
        return None

    def _record(self, name: str, found: Found) -> list[object]:
        needs_source = found.status == "source" and found.digest not in self._known
        self._sent[name] = needs_source
        return [name, found.status, found.digest, found.is_package, found.source if needs_source else None]

    def dump(self) -> list[str]:
        return [f"{name}{'' if source else ' (hash only)'}" for name, source in sorted(self._sent.items())]
