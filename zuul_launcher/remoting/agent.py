"""The node agent: this one file is sent to a bare python3 and run, together with the shared half of remoting.

Standard library only, Python 3.8. It puts the standard streams out of the way (what is printed must not get between
frames), answers imports with sources of the controller, says hello, and serves calls until the channel ends. Nothing
is installed and nothing stays; sources are kept in a cache of the user, if there is a place for it.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.abc
import importlib.machinery
import io
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
        self._asking = threading.RLock()  # one at a time: none is fetched twice
        self._allowed = 0  # how often more was allowed: what was refused before may be there now
        self.refused: set[str] = set()  # names that are neither here nor under a root
        self.ask: Any = None

    def add_roots(self, roots: Sequence[str]) -> None:
        """From now on the controller's copy of these comes before one of the node. More data files may be allowed."""
        with self._lock:
            self._allowed += 1
            self._roots.update(roots)
            self._absent = set(NEVER)
            self.refused.clear()
            for name in [name for name in self._found if name.endswith(":")]:
                del self._found[name]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """For ship roots, before anything of the node."""
        return self.spec(name) if self._is_ours(name) else None

    def _is_ours(self, name: str) -> bool:
        near = name + "."
        return any(near.startswith(root + ".") or (root + ".").startswith(near) for root in self._roots.copy())

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
        self._fetch(name)
        if name in self._absent and not self._is_ours(name):
            self.refused.add(name)
        return self._found.get(name)

    def _fetch(self, name: str) -> None:
        with self._asking:
            if name in self._found or name in self._absent or self.ask is None:
                return
            before = self._allowed
            for known, is_package, source, reason in self.ask(name):
                with self._lock:
                    if reason == "absent":
                        self._absent.update([known] if self._allowed == before else [])
                    else:
                        self._found.setdefault(known, [is_package, source, reason])

    def data(self, package: str, path: str) -> Any:
        """A data file of a package of the controller; for the path "" the paths of all, one a line. None: no such."""
        name = f"{package}:{path}"
        self._fetch(name)
        found = self._found.get(name)
        return None if found is None or found[1] is None else found[1].encode("latin-1")

    def get_resource_reader(self, name: str) -> Any:
        return Folder(self, name, "") if self._found[name][0] else None

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


class Folder:
    """Data files of a package for `importlib.resources`, which has them as they are on the controller.

    On Python 3.8 and 3.9 use `read_text`, `open_binary` and the like; from 3.10 on `files` too.
    """

    def __init__(self, sources: Sources, package: str, path: str) -> None:
        self._sources = sources
        self._package = package
        self._path = path
        self.name = path.rpartition("/")[2] or package.rpartition(".")[2]

    def files(self) -> Folder:
        return self

    def resource_path(self, resource: str) -> str:
        raise FileNotFoundError(f"{resource} is no file of the node")

    def is_resource(self, name: str) -> bool:
        return self.joinpath(name).is_file()

    def contents(self) -> Any:
        return (each.name for each in self.iterdir())

    def open_resource(self, resource: str) -> Any:
        return self.joinpath(resource).open("rb")

    def _names(self) -> Any:
        return (self._sources.data(self._package, "") or b"").decode("utf-8", "surrogateescape").split("\n")

    def iterdir(self) -> Any:
        prefix = self._path and self._path + "/"
        below = [name[len(prefix) :].partition("/")[0] for name in self._names() if name.startswith(prefix)]
        return (self.joinpath(name) for name in dict.fromkeys(below))

    def is_dir(self) -> bool:
        return not self._path or any(name.startswith(self._path + "/") for name in self._names())

    def is_file(self) -> bool:
        return self._path in self._names()

    def joinpath(self, *names: str) -> Folder:
        parts = [part for name in (self._path, *names) for part in str(name).split("/") if part not in ("", ".")]
        return Folder(self._sources, self._package, "/".join(parts))

    __truediv__ = joinpath

    def open(self, mode: str = "r", *args: Any, **keywords: Any) -> Any:
        file = io.BytesIO(self.read_bytes())
        return file if "b" in mode else io.TextIOWrapper(file, *args, **keywords)

    def read_bytes(self) -> bytes:
        data = self._sources.data(self._package, self._path) if self._path else None
        if data is None:
            hint = f'channel.allow("{self._package}", data=["{self._path}"])'
            raise FileNotFoundError(errno.ENOENT, f"no data file that is sent to nodes; {hint}", self._path)
        return bytes(data)

    def read_text(self, encoding: Any = None, errors: Any = None) -> str:
        with self.open("r", encoding or "utf-8", errors or "strict") as file:
            return str(file.read())


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
        if hashlib.sha256(data).hexdigest() != digest:
            self._remove(path)  # so that the next agent does not offer it
            return None
        return data.decode()

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
    from zuul_launcher.remoting import node, records

    records.refused = sources.refused
    status = node.serve(source, sink, sources, options, Cache() if options["settings"]["cache"] else None)
    try:
        sys.stderr.flush()
    finally:
        os._exit(status)
