"""Writes command lines that Gerrit's SSH server splits into exactly the given words. Pure.

Its splitter knows blanks, single quotes, and double quotes with backslash; an empty word is lost. After it every word
that starts with `--` is torn at its first `=`, also when it is the value of an option (measured on 3.10.2). So a word
from outside must be neither empty nor start with `-`: `value` sees to that.
Source: Gerrit's `BaseCommand` and `CmdLineParser`, behaviour tried on a running server.
"""

import re

from zuul_launcher.errors import RemoteRefused

_SAFE = re.compile(r"[A-Za-z0-9@%_+=:,./-]+")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def quote(word: str) -> str:
    """The word as the splitter reads it back. It must not be empty."""
    if _SAFE.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def value(word: str) -> str:
    """A quoted value of an option, or an argument. Raises RemoteRefused for one that Gerrit would read as an option."""
    if not word or word.startswith("-"):
        raise RemoteRefused(f"{word!r} can not be passed to Gerrit: it is empty or starts with `-`")
    if _CONTROL.search(word) or _SURROGATE.search(word) or "\n" in word or "\t" in word:
        raise RemoteRefused(f"{word!r} can not be passed to Gerrit: it has control characters")
    return quote(word)


def plain(text: str) -> str:
    """A text of several lines without what terminals and databases choke on: only line ends and tabs control."""
    return _CONTROL.sub("", _SURROGATE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n")))
