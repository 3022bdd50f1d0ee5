"""Which form calls and values take, by who sends them. Runs on the node too.

1. Controller to agent: pickles. Running the controller's code is what an agent is for.
2. Agent to controller: plain data of the codec only, whoever the agent has become. It may call what is marked with
   `callable_from_agent`, by name, and methods that were exported to it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, Protocol

from zuul_launcher.remoting import codec
from zuul_launcher.remoting.context import CALLABLE_FROM_AGENT
from zuul_launcher.remoting.errors import NotSerializable, ResultNotSerializable, ResultRejected, RoleDenied
from zuul_launcher.remoting.incoming import Decoder


class Side(Protocol):
    """What differs between the sides. All of it happens with `portable.travel` set."""

    def encode_call(self, function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
        """A CALL. NotSerializable names the way to the culprit."""

    def decode_call(self, body: bytes, start: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """Function, arguments, keywords."""

    def encode_value(self, value: Any) -> bytes:
        """A result, or the arguments of a method."""

    def decode_value(self, body: bytes, start: int) -> Any:
        """The same on arrival."""

    def ship_by_value(self, module: Any) -> None:
        """Functions of this module travel with their bytecode."""


class ControllerSide:
    """The side that trusts nothing."""

    def __init__(self, versions: tuple[str, str]) -> None:
        from zuul_launcher.remoting.outgoing import Encoder  # the node has no cloudpickle before it is needed

        self._encoder = Encoder(versions)
        self.encode_call = self._encoder.call
        self.encode_value = self._encoder.value

    def decode_call(self, body: bytes, start: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """RoleDenied: the function is not marked."""
        job = codec.decode(body, start)
        if type(job) is not list or len(job) != 3 or type(job[1]) is not tuple or type(job[2]) is not dict:
            raise ResultRejected("a call that is none")
        name, args, keywords = job
        function = CALLABLE_FROM_AGENT.get(name) if type(name) is str else None
        if function is None:
            raise RoleDenied(f"{name!r:.200} may not be called from an agent: mark it with @callable_from_agent")
        return function, args, keywords

    def decode_value(self, body: bytes, start: int) -> Any:
        """ResultRejected: it is no plain data."""
        return codec.decode(body, start)

    def ship_by_value(self, module: Any) -> None:
        self._encoder.ship_by_value(module)


class AgentSide:
    """The side that trusts its controller, and is not trusted."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self.decode_call = self._decoder.call

    def encode_call(self, function: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
        """RoleDenied: it is no function of a module."""
        name = getattr(function, "__qualname__", "")
        module = getattr(function, "__module__", None)
        if not module or not name.isidentifier():
            raise RoleDenied(f"{function!r:.200} is no function of a module: an agent calls by name")
        try:
            return codec.encode([f"{module}:{name}", args, keywords])
        except ResultNotSerializable as error:
            raise NotSerializable(str(error).replace("result", "call", 1)) from None

    def encode_value(self, value: Any) -> bytes:
        """ResultNotSerializable names the way to what is no plain data."""
        return codec.encode(value)

    def decode_value(self, body: bytes, start: int) -> Any:
        return pickle.loads(memoryview(body)[start:])  # noqa: S301 - the controller may run code here

    def ship_by_value(self, module: Any) -> None:
        raise RoleDenied("an agent ships no code")
