"""Callables of the controller, as they arrive on the node. Runs on the node.

The node trusts its controller: running the controller's code is what it is for. The forms are told in `outgoing`.
"""

from __future__ import annotations

import builtins
import marshal
import pickle
from types import CellType, CodeType, FunctionType
from typing import Any

from zuul_launcher.remoting.errors import ProtocolError

PICKLED, SHORT = b"P", b"S"
KEPT = 1000  # code objects of the short form: the controller uses only so many of the newest


class Decoder:
    """For one channel. Used by one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[CodeType, str, dict[str, Any]]] = {}  # code, name, annotations

    def call(self, body: bytes, start: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """Function, arguments and keywords."""
        letter, content = body[start : start + 1], memoryview(body)[start + 1 :]
        if letter == PICKLED:
            function, args, keywords = pickle.loads(content)  # noqa: S301 - the controller may run code here
            return function, args, keywords
        if letter != SHORT:
            raise ProtocolError(f"a call in the form {letter!r}")
        number, new, cells, defaults, args, keywords = marshal.loads(content)  # noqa: S302 - as above
        if new is not None:
            code, name, notes = new
            self._known[number] = code, name, pickle.loads(notes)  # noqa: S301 - as above
            if len(self._known) > 2 * KEPT:
                self._known = {known: parts for known, parts in self._known.items() if known > number - KEPT}
        code, name, notes = self._known[number]
        space = {"__builtins__": builtins, "__name__": "__main__"}
        function = FunctionType(code, space, name, defaults, tuple(map(CellType, cells)))
        function.__annotations__ = notes.copy()
        return function, args, keywords
