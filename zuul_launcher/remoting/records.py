"""Errors as plain data, and back. Runs on the node too.

A built-in class, or one marked as transferable, is raised again as itself if it can be made from its arguments; any
other becomes RemoteError. The cause of either is RemoteTraceback, the traceback of the far side as text; that one's
cause is what caused the error there. What would end a thread or a process becomes RemoteExit.
"""

from __future__ import annotations

import builtins
import traceback
from typing import Any

from zuul_launcher.remoting import codec, errors
from zuul_launcher.remoting.context import TRANSFERABLE
from zuul_launcher.remoting.errors import RemoteError, RemoteExit, RemoteTraceback, RemotingError

MAX_DEPTH = 32
MAX_TEXT = 1 << 18
refused: set[str] = set()  # modules that this agent has asked for in vain; `agent` sets it
_EXITS = (SystemExit, KeyboardInterrupt, GeneratorExit)


def record(error: BaseException, depth: int = 0, seen: frozenset[int] = frozenset()) -> dict[str, Any]:
    """The error with its causes, contexts and members; plain data for the codec."""
    seen |= {id(error)}
    cls = type(error)
    if isinstance(error, ModuleNotFoundError) and error.name in refused:
        _hint(error)

    def follow(other: BaseException | None) -> dict[str, Any] | None:
        return None if other is None or id(other) in seen or depth >= MAX_DEPTH else record(other, depth + 1, seen)

    members = getattr(error, "exceptions", None)
    if isinstance(error, RemoteTraceback):
        text = str(error)
    else:
        text = "".join(traceback.format_exception(cls, error, error.__traceback__, chain=False))
    return {
        "type": f"{cls.__module__}:{cls.__qualname__}",
        "mro": [f"{base.__module__}:{base.__qualname__}" for base in cls.__mro__],
        "str": _text(error),
        "args": [_plain(argument) for argument in error.args],
        "names": [getattr(error, "filename", None), getattr(error, "filename2", None)] if _is_os(error) else None,
        "notes": [str(note) for note in getattr(error, "__notes__", ())],
        "traceback": text[-MAX_TEXT:].encode("utf-8", "backslashreplace").decode(),
        "cause": follow(error.__cause__),
        "context": follow(error.__context__) if error.__cause__ is None else None,
        "suppressed": error.__suppress_context__,
        "members": [follow(member) for member in members] if isinstance(members, tuple) else None,
    }


def _hint(error: ModuleNotFoundError) -> None:
    """Say what to do, once, about a module that the node lacks and the controller may have."""
    hint = f'; the node has none, and is sent what the controller names: channel.allow("{error.name}")'
    if not str(error).endswith(hint):
        error.msg = f"{error}{hint}"
        error.args = (error.msg,)


def _is_os(error: BaseException) -> bool:
    return isinstance(error, OSError) and len(error.args) >= 2


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except Exception as broken:
        return f"(its text cannot be made: {type(broken).__name__})"


def _plain(value: Any) -> Any:
    try:
        if len(codec.encode(value)) <= MAX_TEXT:
            return value
    except Exception:  # noqa: S110 - shown as text below
        pass
    try:
        return repr(value)[:MAX_TEXT]
    except Exception:
        return f"<{type(value).__name__}>"


def restore(said: Any, channel: str) -> BaseException:
    """The error to raise here. `said` may be hostile: whatever it is, an error comes out."""
    if not isinstance(said, dict):
        return RemoteError("unknown", repr(said)[:MAX_TEXT])
    try:
        return _restore(said, channel)
    except Exception as broken:
        return RemoteError(str(said.get("type"))[:200], f"{said.get('str')} (and its record is broken: {broken!r})")


def _restore(said: dict[str, Any], channel: str) -> BaseException:
    name = str(said["type"])
    error = _again(name, said, channel) or RemoteError(
        name.replace("builtins:", "").replace(":", "."), str(said["str"])
    )
    for note in said["notes"]:
        if hasattr(error, "add_note"):
            error.add_note(str(note))
    text = RemoteTraceback(str(said["traceback"]))
    origin = said["cause"] or (None if said["suppressed"] else said["context"])
    if origin:
        text.__cause__ = _restore(origin, channel)
    error.__cause__ = text
    error.remote_channel = channel  # type: ignore[attr-defined] # every error of a far side says whose it is
    return error


def _again(name: str, said: dict[str, Any], channel: str) -> BaseException | None:
    cls = _class(name)
    if cls is None:
        return None
    if issubclass(cls, _EXITS):
        return RemoteExit(f"{cls.__name__}: {said['str']}" if said["str"] else cls.__name__)
    arguments = list(said["args"])
    try:
        if said["members"] is not None and hasattr(cls, "derive"):
            members = [_restore(member, channel) for member in said["members"] if member]
            group: BaseException = cls(str(arguments[0]), members)
            return group
        if said["names"] is not None:
            first, second = said["names"]
            arguments = [*arguments[:2], first, *([] if second is None else [None, second])]
            if first is None:
                arguments = arguments[:2]
        error: BaseException = cls(*arguments)
    except Exception:
        return None
    return error


def _class(name: str) -> Any:
    module, _, qualname = name.partition(":")
    cls: Any = None
    if module == "builtins":
        cls = getattr(builtins, qualname, None)
    elif module == errors.__name__:
        cls = getattr(errors, qualname, None)
        cls = cls if isinstance(cls, type) and issubclass(cls, RemotingError) else None
    else:
        cls = TRANSFERABLE.get(name)
    return cls if isinstance(cls, type) and issubclass(cls, BaseException) else None
