"""Reads JSON objects of Gerrit, field by field. Pure; every number becomes text, and nothing in it is trusted.

Bytes that are not UTF-8, lone surrogates and NUL become U+FFFD. A field of another type than expected counts as absent.
"""

import json
import re
from typing import Any

from zuul_launcher.errors import RemoteError
from zuul_launcher.model.change import Account

Record = dict[str, Any]  # one JSON object of Gerrit, as `load` returns it: numbers are text

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,17}")
_UNWANTED = re.compile("[\x00\ud800-\udfff]")


class ParseError(RemoteError):
    """Gerrit sent something that can not be used; the text says what."""


def load(line: bytes) -> Record:
    """Decodes one line that holds a JSON object. Raises ParseError."""
    decoded = line.decode("utf-8", "replace")
    try:
        value = json.loads(decoded, parse_int=str, parse_float=str, parse_constant=str)
        cleaned = _clean(value)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"not JSON: {type(error).__name__}: {str(error)[:100]}") from None
    if not isinstance(cleaned, dict):
        raise ParseError("not a JSON object")
    return cleaned


def _clean(value: Any) -> Any:
    match value:
        case str():
            return _UNWANTED.sub("\ufffd", value)
        case list():
            return [_clean(element) for element in value]
        case dict():
            return {_UNWANTED.sub("\ufffd", key): _clean(element) for key, element in value.items()}
    return value


def account_of(value: object) -> Account | None:
    if not isinstance(value, dict):
        return None
    return Account(
        name=text_of(value, "name") or "",
        email=text_of(value, "email") or "",
        username=text_of(value, "username") or "",
    )


def text_of(holder: Record, name: str) -> str | None:
    value = holder.get(name)
    return value if isinstance(value, str) else None


def number_of(holder: Record, name: str) -> str | None:
    value = text_of(holder, name)
    return value if value and _NUMBER.fullmatch(value) else None


def seconds_of(holder: Record, name: str) -> int:
    value = text_of(holder, name)
    return int(value) if value and _INTEGER.fullmatch(value) else 0


def child(holder: Record, name: str) -> Record:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def children(holder: Record, name: str) -> list[Record]:
    value = holder.get(name)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
