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
        self._codes: dict[int, CodeType] = {}

    def call(self, body: bytes, start: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """Function, arguments and keywords."""
        letter, content = body[start : start + 1], memoryview(body)[start + 1 :]
        if letter == PICKLED:
            function, args, keywords = pickle.loads(content)  # noqa: S301 - the controller may run code here
            return function, args, keywords
        if letter != SHORT:
            raise ProtocolError(f"a call in the form {letter!r}")
        number, code, name, cells, defaults, notes, args, keywords = pickle.loads(content)  # noqa: S301 - as above
        if code is not None:
            self._codes[number] = marshal.loads(code)  # noqa: S302 - as above
            if len(self._codes) > 2 * KEPT:
                self._codes = {known: code for known, code in self._codes.items() if known > number - KEPT}
        space = {"__builtins__": builtins, "__name__": "__main__"}
        closure = tuple([CellType(value) for value in cells])
        function = FunctionType(self._codes[number], space, name, defaults, closure)
        function.__annotations__ = notes
        return function, args, keywords
