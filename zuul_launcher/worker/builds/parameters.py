"""The payload of a build -> its parameters, as values and as the texts that steps see. Pure.

Numbers stay as they were written, null is no parameter, what is nested is its JSON text. The last one of repeated keys
wins. What stands in them is data: `expand` puts it into other texts, nothing ever runs it.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from zuul_launcher.errors import RequestError
from zuul_launcher.worker.definitions.job import PARAMETER

_REFERENCE = re.compile(rf"\$\{{({PARAMETER.pattern})\}}")
_TRUE = ("1", "true", "yes", "on")


class BadPayload(RequestError):
    """It is no JSON object: nothing can be built."""


class Parameters(Struct, frozen=True, kw_only=True):
    values: Mapping[str, Any] = {}  # as they came
    texts: Mapping[str, str] = {}  # as steps see them
    warnings: tuple[str, ...] = ()


def read(payload: bytes) -> Parameters:
    """Raises BadPayload, whose text says why. An empty payload has no parameters."""
    if not payload:
        return Parameters()
    repeated: list[str] = []
    try:
        text = payload.decode("utf-8")
        values = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, repeated), parse_constant=_refuse)
        written = json.loads(text, parse_int=str, parse_float=str) if isinstance(values, dict) else {}
    except (ValueError, RecursionError) as error:
        raise BadPayload(f"the parameters are not JSON in UTF-8: {str(error)[:300]}") from None
    if not isinstance(values, dict):
        raise BadPayload(f"the parameters are a JSON {_kind(values)} where an object is expected")
    texts = {name: _text(value, written[name]) for name, value in values.items() if value is not None}
    warnings = [f"the parameter {name!r} was sent more than once: the last value is used" for name in repeated]
    return Parameters(values=values, texts=texts, warnings=tuple(warnings))


def _once(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated += [name for name in found if names.count(name) > 1 and name not in repeated]
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _kind(value: Any) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def _text(value: Any, written: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(written)
    return json.dumps(value, ensure_ascii=False)


def expand(text: str, texts: Mapping[str, str]) -> str:
    """With the parameter in the place of each `${NAME}`; nothing, where there is none."""
    return _REFERENCE.sub(lambda found: texts.get(found[1], ""), text)


def is_true(texts: Mapping[str, str], name: str) -> bool:
    """Whether a flag is set: 1, true, yes or on, in any case."""
    return texts.get(name, "").strip().lower() in _TRUE
