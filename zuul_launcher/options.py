"""How the text of an option in zuul.conf becomes a value of its type."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NewType

Port = NewType("Port", int)  # to connect to: 1 to 65535
ListeningPort = NewType("ListeningPort", int)  # to listen on: 0 to 65535, where 0 takes a free one


class HostName(str):
    """A host or a user as a command or an URL can carry it: no white space, no `@` or `/`, no `-` in front."""


def _truth(text: str) -> bool:
    return {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}[
        text.lower()
    ]


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError
    return int(text)


def _port(text: str) -> Port:
    if not 1 <= _count(text) <= 65535:
        raise ValueError
    return Port(int(text))


def _listening_port(text: str) -> ListeningPort:
    if _count(text) > 65535:
        raise ValueError
    return ListeningPort(int(text))


def _host(text: str) -> HostName:
    if text.startswith("-") or re.search(r"[\s@/]|[^\x21-\x7e]", text):
        raise ValueError
    return HostName(text)


def _path(text: str) -> Path:
    return Path(text).expanduser()


# type of a field -> how its text is read, and what a text that can not be read should have been
PARSERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    str: (str, "some text"),
    bool: (_truth, "1, yes, true, on, 0, no, false or off"),
    int: (_count, "a whole number"),
    Port: (_port, "a port, 1 to 65535"),
    ListeningPort: (_listening_port, "a port, 0 to 65535"),
    HostName: (_host, "a name without white space, `@` and `/`, and without `-` in front"),
    Path: (_path, "a path, whose ~USER exists"),
}
PARSERS |= {kind | None: PARSERS[kind] for kind in (str, Path, HostName)}
