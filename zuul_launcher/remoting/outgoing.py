"""Callables and arguments as bytes for the node. Controller only: it needs cloudpickle.

1. What a module holds goes by reference; the node imports the module. All else (lambdas, nested functions, what
   `__main__` defines) goes by value, with its bytecode: that needs the same Python minor version there.
2. A function by value that refers to no globals, and captures plain values only, has a short form: what all functions
   of one code object have in common is sent once for each channel, and each call sends the captured values.
3. What cannot be sent is named by the way to it, before anything is sent.
"""

from __future__ import annotations

import builtins
import functools
import io
import marshal
import pickle
import sys
import threading
from collections import ChainMap
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, ClassVar

import cloudpickle  # type: ignore[import-untyped] # it has no types

from zuul_launcher.remoting.errors import NotSerializable, PythonVersionMismatch, RemotingError
from zuul_launcher.remoting.incoming import KEPT, PICKLED, SHORT
from zuul_launcher.remoting.portable import Portable, travel

_BUILT_IN = vars(builtins)
_PLAIN = frozenset((int, str, bytes, float, bool, complex, type(None)))
_by_value_lock = threading.RLock()  # cloudpickle's list of modules by value is one for the process
_is_used = False  # whether any channel of this process needs that list


class Encoder:
    """For one channel. `versions` are the minor versions of this side and the node."""

    def __init__(self, versions: tuple[str, str]) -> None:
        self._versions = versions
        self._lock = threading.Lock()
        self._codes: dict[int, _Code] = {}  # id of a code object → it; it is kept, so that its id stays its own
        self._next = 0
        self._by_value: set[ModuleType] = set()

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
        """The format's letter and the message. NotSerializable, PythonVersionMismatch: nothing was done."""
        if type(function) is FunctionType and self._versions[0] == self._versions[1]:
            short = self._short(function, args, keywords)
            if short is not None:
                return short
        return PICKLED + self.value((function, args, keywords), _call_parts)

    def value(self, value: Any, parts: Callable[[Any], Iterator[tuple[str, Any]]] | None = None) -> bytes:
        """A pickle of anything."""
        try:
            with self._registered():
                return self._pickle(value)
        except RemotingError:
            raise
        except Exception as error:
            raise NotSerializable(explain(value, parts) or f"cannot be sent: {error}") from error

    def _pickle(self, value: Any) -> bytes:
        buffer = io.BytesIO()
        pickler = _Pickler if self._versions[0] == self._versions[1] else _OtherVersion
        made = pickler(buffer, protocol=5)
        made.versions = self._versions
        made.dump(value)
        return buffer.getvalue()

    def ship_by_value(self, module: ModuleType) -> None:
        """Functions and classes of this module travel with their bytecode, over this channel."""
        global _is_used
        with _by_value_lock:
            _is_used = True
        self._by_value.add(module)

    @contextmanager
    def _registered(self) -> Iterator[None]:
        """While cloudpickle's list holds modules of this channel, no other channel encodes."""
        if not _is_used:
            yield
            return
        with _by_value_lock:
            before = cloudpickle.list_registry_pickle_by_value()
            ours = [module for module in self._by_value if module.__name__ not in before]
            for module in ours:
                cloudpickle.register_pickle_by_value(module)
            try:
                yield
            finally:
                for module in ours:
                    cloudpickle.unregister_pickle_by_value(module)

    def _short(self, function: FunctionType, args: tuple[Any, ...], keywords: dict[str, Any]) -> bytes | None:
        code = self._codes.get(id(function.__code__)) or self._learn(function)
        if code.data is None or not code.fits(function):
            return None
        defaults = function.__defaults__
        if not (_are_plain(args) and _are_plain(defaults or ()) and _are_plain(keywords.values())):
            return None
        data = None if code.known else code.data
        try:
            cells = tuple([cell.cell_contents for cell in function.__closure__ or ()])
            if not _are_plain(cells):
                return None
            short = SHORT + marshal.dumps((code.number, data, cells, defaults, args, keywords))
        except ValueError:  # a variable that has no value yet, or one of more than 2 GiB
            return None
        if data is not None and travel.parcel is not None:
            travel.parcel.append(code)
        return short

    def _learn(self, function: FunctionType) -> _Code:
        with self._lock:
            if len(self._codes) >= KEPT:
                self._codes.clear()
            self._next += 1
            code = self._codes[id(function.__code__)] = _Code(function, self._next)
            return code


class _Code:
    """A code object, and its short form if it has one."""

    def __init__(self, function: FunctionType, number: int) -> None:
        self.number = number
        self.code = function.__code__
        self._names = _names(self.code)
        self._name, self._notes = function.__name__, dict(function.__annotations__)
        short = not is_by_reference(function) and all(map(_is_built_in, self._notes.values()))
        # The annotations are pickled, for classes in them.
        self.data = (self.code, self._name, pickle.dumps(self._notes, 5)) if short else None
        self.known = False  # the node has it: messages that are sent from now on come later

    def departed(self) -> None:
        self.known = True

    def undo(self) -> None:
        """The message was not sent: the next one takes the code along."""

    def answered(self) -> None:
        """Nothing ends with the call."""

    def fits(self, function: FunctionType) -> bool:
        """Whether this function of the code has nothing else that would have to be sent."""
        if function.__dict__ or function.__kwdefaults__ or not function.__globals__.keys().isdisjoint(self._names):
            return False
        return function.__name__ == self._name and function.__annotations__ == self._notes


def _are_plain(values: Collection[Any]) -> bool:
    return not values or _PLAIN.issuperset(map(type, values))


def _is_built_in(note: Any) -> bool:
    """An annotation that is the same on every node, and equal to no other one."""
    return note is None or type(note) is str or _BUILT_IN.get(getattr(note, "__name__", "")) is note


def _names(code: CodeType) -> frozenset[str]:
    """Global names and attributes that the code and the functions in it use."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return frozenset(code.co_names).union(*map(_names, inner))


def _refuse_file(file: Any) -> Any:
    raise TypeError(f"cannot pickle an open file ({type(file).__name__})")


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no types
    """Sends no copy of an open file's content."""

    dispatch_table: ClassVar[Any] = ChainMap({io.TextIOWrapper: _refuse_file}, cloudpickle.Pickler.dispatch_table)
    versions: tuple[str, str] = ("", "")


class _OtherVersion(_Pickler):
    """Refuses what only the same Python version could read."""

    def reducer_override(self, instance: Any) -> Any:
        if isinstance(instance, (FunctionType, type)) and not is_by_reference(instance):
            ours, theirs = self.versions
            raise PythonVersionMismatch(
                f"controller {ours}, agent {theirs}: move {instance.__qualname__} to a module, "
                "so that its source can be sent"
            )
        return super().reducer_override(instance)


def is_by_reference(instance: Any) -> bool:
    """Whether the node can import it: its module, and the way to it in there, lead to this very object."""
    if instance.__module__ in (None, "__main__"):
        return False
    found: Any = sys.modules.get(instance.__module__)
    for name in instance.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is instance


def _call_parts(call: Any) -> Iterator[tuple[str, Any]]:
    function, args, keywords = call
    yield "", getattr(function, "__wrapped__", None)  # what the caller knows, before what is around it
    yield "", function
    for index, argument in enumerate(args):
        yield f"argument {index + 1}", argument
    for name, argument in keywords.items():
        yield f"argument {name!r}", argument


def explain(value: Any, parts: Callable[[Any], Iterator[tuple[str, Any]]] | None = None) -> str | None:
    """The way to the innermost part that cannot be pickled, such as "closure variable 'self' → Gate.lock: ..."."""
    way: list[str] = []
    seen: set[int] = set()
    reason = _reason(value)
    while reason is not None and id(value) not in seen and len(way) < 50:
        seen.add(id(value))
        for place, part in (parts or _parts)(value):
            parts = None
            inner = _reason(part) if id(part) not in seen else None
            if inner is not None:
                way += [place] if place else []
                value, reason = part, inner
                break
        else:
            break
    if reason is None:
        return None
    return f"{' → '.join(way) or type(value).__name__}: {reason}"


def _reason(value: Any) -> str | None:
    try:
        _Probe(io.BytesIO(), protocol=5).dump(value)
    except Exception as error:
        return str(error) or type(error).__name__
    return None


class _Probe(_Pickler):
    """Pickles, but for what changes its shape on the way: that may be sent once only."""

    def persistent_id(self, instance: Any) -> Any:
        return 0 if isinstance(instance, Portable) else None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                yield f"closure variable {name!r}", cell.cell_contents
            except ValueError:
                continue
        for name in sorted(_names(value.__code__) & value.__globals__.keys()):
            yield f"global variable {name!r}", value.__globals__[name]
        for default in [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]:
            yield "default value", default
    elif isinstance(value, (MethodType, BuiltinFunctionType)):
        yield f"object of method {value.__name__!r}", value.__self__
    elif isinstance(value, functools.partial):
        yield "function of partial", value.func
        for index, argument in enumerate(value.args):
            yield f"argument {index + 1} of partial", argument
        for name, argument in value.keywords.items():
            yield f"argument {name!r} of partial", argument
    elif isinstance(value, dict):
        for name, item in value.items():
            yield f"[{name!r}]", item
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    else:
        for name, item in getattr(value, "__dict__", {}).items():
            yield f"{value.__name__ if isinstance(value, type) else type(value).__name__}.{name}", item
