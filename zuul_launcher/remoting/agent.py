"""The node agent: this one file is sent to a bare python3 and run, together with the shared half of remoting.

Standard library only, Python 3.8. It puts the standard streams out of the way (what is printed must not get between
frames), answers imports with sources of the controller, says hello, and serves calls until the channel ends. Nothing
is installed and nothing stays; sources are kept in a cache of the user, if there is a place for it.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import linecache
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

CACHE_BYTES = 200 << 20
CACHE_NAMES = 4096  # hashes that are offered at most
NEVER = {"org"}  # `copy` looks for it: a module of another implementation of Python


class Sources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports from the controller. `ask` requests a module; its answer is a list of records, the wanted one first."""

    def __init__(self, bundle: dict[str, Any], roots: Sequence[str], standard: Sequence[str]) -> None:
        self._found: dict[str, Any] = dict(bundle)  # name → [is package, source or None: unavailable, reason]
        self._roots = set(roots)
        self._standard = set(getattr(sys, "stdlib_module_names", standard))
        self._absent = set(NEVER)
        self._lock = threading.Lock()
        self.ask: Any = None

    def add_roots(self, roots: Sequence[str]) -> None:
        """From now on the controller's copy of these comes before one of the node."""
        self._roots.update(roots)
        self._absent.clear()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """For ship roots, before anything of the node."""
        near = name + "."
        if not any(near.startswith(root + ".") or (root + ".").startswith(near) for root in self._roots):
            return None
        return self.spec(name)

    def spec(self, name: str) -> Any:
        """A spec, or None: neither side has it."""
        found = self._find(name)
        if found is None:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=f"<remote:{name}>", is_package=found[0])
        spec.has_location = True
        return spec

    def _find(self, name: str) -> Any:
        if name in self._found:
            return self._found[name]
        parent = name.rpartition(".")[0]
        if name in self._absent or name.partition(".")[0] in self._standard or self.ask is None:
            return None
        if parent and parent not in self._found:
            return None  # not a package of ours
        for record in self.ask(name):
            known, is_package, source, reason = record
            with self._lock:
                if reason == "absent":
                    self._absent.add(known)
                else:
                    self._found.setdefault(known, [is_package, source, reason])
        return self._found.get(name)

    def create_module(self, spec: Any) -> Any:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        _, source, reason = self._found[name]
        if source is None:
            from zuul_launcher.remoting.errors import ModuleNotAvailable

            raise ModuleNotAvailable(f"module {name} cannot be sent: {reason}")
        shown = f"<remote:{name}>"
        linecache.cache[shown] = (len(source), None, source.splitlines(True), shown)
        exec(compile(source, shown, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - it is the controller's

    def get_source(self, name: str) -> Any:
        return self._found[name][1] if name in self._found else None


class Last(importlib.abc.MetaPathFinder):
    """After everything of the node."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return self._sources.spec(name)


class Cache:
    """Sources by hash in a folder that only this user can write. Without one, nothing is kept."""

    def __init__(self) -> None:
        self.is_usable = False
        try:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            self._folder = base / "zuul-remoting"
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self._folder.lstat()
            self.is_usable = status.st_uid == os.getuid() and not status.st_mode & 0o077
        except (OSError, RuntimeError):  # the second: this user has no home
            pass

    def names(self) -> list[str]:
        """The hashes that are here, newest first; the oldest are removed where there is too much."""
        if not self.is_usable:
            return []
        try:
            found = [(path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.iterdir()]
        except OSError:
            return []
        size, kept = 0, []
        for _, length, path in sorted(found, reverse=True):
            size += length
            if size > CACHE_BYTES:
                self._remove(path)
            elif len(path.name) == 64:
                kept.append(path.name)
        return kept[:CACHE_NAMES]

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except OSError:
            pass

    def read(self, digest: str) -> Any:
        """The source, or None: it is not here, or not what its name says."""
        path = self._folder / digest
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data.decode() if hashlib.sha256(data).hexdigest() == digest else None

    def write(self, digest: str, source: str) -> None:
        if not self.is_usable:
            return
        temporary = self._folder / f".{digest}.{os.getpid()}.{threading.get_ident()}"
        try:
            temporary.write_bytes(source.encode())
            temporary.rename(self._folder / digest)
        except OSError:
            self._remove(temporary)


def take_streams() -> tuple[int, int]:
    """Private numbers for the channel. Standard input becomes empty, standard output goes where errors go."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return source, sink


def start(bundle: dict[str, Any], options: dict[str, Any]) -> None:
    """Serve one channel on the standard streams, then end the process."""
    source, sink = take_streams()
    sources = Sources(bundle, options["roots"], options["standard"])
    sys.meta_path.insert(0, sources)
    sys.meta_path.append(Last(sources))
    from zuul_launcher.remoting import node

    status = node.serve(source, sink, sources, options, Cache() if options["settings"]["cache"] else None)
    try:
        sys.stderr.flush()
    finally:
        os._exit(status)
