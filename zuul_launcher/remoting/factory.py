"""An object that cannot be sent is made where it is needed: send what makes it. Runs on the node too.

A factory that is an argument of a call is replaced by what its `create` gives, once for each call; after the call
that is closed, if it has a `close`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zuul_launcher.remoting.errors import FactoryError


class Factory:
    """Base of what makes an argument on the far side. It must be serialisable itself."""

    def create(self) -> Any:
        """The object that the callable gets."""
        raise NotImplementedError


class Lazy(Factory):
    """Calls a class, or any callable, with arguments."""

    def __init__(self, make: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self._make = make
        self._args = args
        self._keywords = keywords

    def create(self) -> Any:
        return self._make(*self._args, **self._keywords)

    def __repr__(self) -> str:
        return f"lazy {getattr(self._make, '__qualname__', self._make)}"


def lazy(make: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """As argument of a call: `make(*args, **keywords)`, made on the far side."""
    return Lazy(make, args, keywords)


def has_factory(args: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    """Whether anything has to be made."""
    return bool(args or keywords) and any(isinstance(value, Factory) for value in (*args, *keywords.values()))


@contextmanager
def created(args: tuple[Any, ...], keywords: dict[str, Any]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """The arguments with what their factories made. FactoryError: one of them failed, chained."""
    made: dict[int, Any] = {}

    def replaced(value: Any) -> Any:
        if not isinstance(value, Factory):
            return value
        if id(value) not in made:
            try:
                made[id(value)] = value.create()
            except Exception as error:
                raise FactoryError(f"{value!r} failed: {error}") from error
        return made[id(value)]

    try:
        yield [replaced(value) for value in args], {name: replaced(value) for name, value in keywords.items()}
    finally:
        for instance in reversed(list(made.values())):
            close = getattr(instance, "close", None)
            if callable(close):
                close()
