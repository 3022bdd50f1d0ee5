"""Readers of the values that jobs.yaml and nodes.yaml have in common: each gives the value, or says what is wrong."""

import re
from collections.abc import Callable

from zuul_launcher.worker.definitions.labels import Expression, ExpressionError, parse
from zuul_launcher.worker.places import folder_name
from zuul_launcher.yamlfile.reading import Reading
from zuul_launcher.yamlfile.tree import Node, Scalar, Sequence

MAXIMUM_NAME = 200  # bytes of a job's name as a folder
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_SECONDS = {"w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"([0-9]{1,6}w)?([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?")
_DURATION_HINT = "a number and s, m, h, d or w, as in 30m or 1h30m"


def seconds(text: str) -> int:
    """Of a duration such as `1h30m`; 0 if it is none."""
    found = _DURATION.fullmatch(text)
    return sum(int(part[:-1]) * _SECONDS[part[-1]] for part in found.groups() if part) if found else 0


def duration(reading: Reading, node: Node) -> float | None:
    """Seconds, more than none."""
    if isinstance(node, Scalar) and node.kind == "str":
        if value := seconds(str(node.value)):
            return float(value)
        reading.refuse(node, f"{node.value!r} is no duration", _DURATION_HINT)
    else:
        reading.refuse(node, "expected a duration", _DURATION_HINT)
    return None


def expression(reading: Reading, node: Node) -> Expression | None:
    text = reading.text(node)
    if text is None:
        return None
    try:
        return parse(text)
    except ExpressionError as error:
        # Quotes and folded lines are not known here, so the place is that of the whole.
        reading.refuse(node, f"no label expression, at its character {error.column}: {error.message}")
        return None


def what_is_wrong_with_a_job_name(name: str) -> str:
    """Empty: nothing."""
    if not name:
        return "expected a name, this is empty"
    if ":" in name:
        return "a job's name can not have a colon: it parts the names of functions"
    if name != name.strip() or not name.isprintable():
        return "a job's name can not begin or end with a space, or have characters that are not to be seen"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "each part of a job's name is a folder: none may be empty, . or .."
    if len(folder_name(name)) > MAXIMUM_NAME:
        return f"a job's name can have {MAXIMUM_NAME} bytes"
    return ""


def job_name(reading: Reading, node: Node) -> str | None:
    name = reading.text(node)
    if name is not None and (wrong := what_is_wrong_with_a_job_name(name)):
        reading.refuse(node, wrong)
        return None
    return name


def word(reading: Reading, node: Node) -> str | None:
    """A name or label that stands in lists parted by spaces, and in names of functions."""
    name = reading.name(node)
    if name is not None and (":" in name or not name.isprintable() or re.search(r"\s", name)):
        reading.refuse(node, "can not have spaces, colons, or characters that are not to be seen")
        return None
    return name


def texts_by_name(names: re.Pattern[str]) -> Callable[[Reading, Node], dict[str, str]]:
    """Reader of a mapping of such names to texts."""

    def read(reading: Reading, node: Node) -> dict[str, str]:
        found = {}
        for key, entry in reading.entries(node).items():
            if not names.fullmatch(key):
                reading.refuse(entry.key, f"{key!r} can not be the name of a variable")
            value = plain_text(reading, entry.value)
            if value is not None:
                found[key] = value
        return found

    return read


def refuse_empty(reading: Reading, node: Node, what: str) -> None:
    """A list of nothing, where something has to be."""
    if isinstance(node, Sequence) and not node.items:
        reading.refuse(node, f"expected at least one {what}")


def plain_text(reading: Reading, node: Node) -> str | None:
    """Without NUL, which no environment and no command line can hold."""
    text = reading.text(node)
    if text is not None and "\0" in text:
        reading.refuse(node, "the text has a NUL character")
        return None
    return text


def inner_path(reading: Reading, node: Node) -> str | None:
    """A path or Ant glob that does not leave the folder that it starts in."""
    path = plain_text(reading, node)
    if path is None:
        return None
    if not path:
        reading.refuse(node, "expected a path, this is empty")
    elif wrong := what_is_wrong_with_an_inner_path(path):
        reading.refuse(node, wrong)
    else:
        return path
    return None


def what_is_wrong_with_an_inner_path(path: str) -> str:
    """Empty: nothing."""
    if path.startswith("/"):
        return "expected a path below the folder, this is an absolute one"
    return "a path can not go up with .." if ".." in path.split("/") else ""


def outer_path(reading: Reading, node: Node) -> str | None:
    """A path of a machine: absolute, or below the home folder."""
    path = plain_text(reading, node)
    if path is not None and not path.startswith(("/", "~/")):
        reading.refuse(node, "expected an absolute path", "begin it with / or ~/")
        return None
    return path
