"""What a worker says about its build: bytes from anywhere become WorkerData and a result word, or the reason why not.

Rules: nothing that arrives raises. A field of a wrong type counts as not said. Text is cleaned (no control
characters, no lone surrogates) and cut. A result that is no text is no result; the build is then run again, and the
reason says why.
"""

import json
from typing import Any, TypeVar

from msgspec import Struct, field, structs

from zuul_launcher.gearman.params import unusable
from zuul_launcher.model.events import WorkerData
from zuul_launcher.model.queue import Worker

PAYLOAD_LIMIT = 16 * 1024 * 1024  # bytes
RESULT_LIMIT = 200  # characters
TEXT_LIMIT = 2000
LIST_LIMIT = 100  # entries of a list or an object
_INTEGER_LIMIT = 2**63

_Value = TypeVar("_Value")


class Reply(Struct, frozen=True, kw_only=True):
    """One payload, understood as far as it goes."""

    data: WorkerData = field(default_factory=WorkerData)
    result: str | None = None
    error: str | None = None  # what was wrong with it, for the log and the build's row


def read(payload: bytes | str, before: WorkerData | None = None) -> Reply:
    """`before` is what earlier payloads of the same build said: what this one does not say again stays."""
    before = before or WorkerData()
    if not payload:
        return Reply(data=before)
    if len(payload) > PAYLOAD_LIMIT:
        return Reply(data=before, error=f"the worker sent more than {PAYLOAD_LIMIT} bytes of data")
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError) as error:
        return Reply(data=before, error=f"the worker sent data that is not JSON: {clean(str(error), RESULT_LIMIT)}")
    if not isinstance(said, dict):
        return Reply(data=before, error=f"the worker sent a JSON {type(said).__name__} where an object is expected")
    return _read_object(said, before)


def clean(text: str, limit: int) -> str:
    """At most `limit` characters of it; what cannot be printed in one line becomes U+FFFD."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:limit])


def _read_object(said: dict[str, Any], before: WorkerData) -> Reply:
    number = _number(said)
    worker = _worker(said, before.worker or Worker())
    data = WorkerData(
        number=before.number if number is None else number,
        manager=_first(_manager(said), before.manager),
        url=_first(_text(said, "url"), before.url),
        worker=worker if worker != Worker() else before.worker,
        node_name=_first(_text(said, "node_name"), before.node_name),
        node_labels=_first(_texts(said, "node_labels"), before.node_labels),
    )
    result = said.get("result")
    if result is not None and not isinstance(result, str):
        return Reply(data=data, error=f"the worker sent a result that is not text but a JSON {type(result).__name__}")
    return Reply(data=data, result=clean(result.strip(), RESULT_LIMIT) or None if result else None)


def _first(new: _Value | None, old: _Value | None) -> _Value | None:
    return old if new is None else new


def _text(said: dict[str, Any], key: str) -> str | None:
    value = said.get(key)
    return clean(value, TEXT_LIMIT) if isinstance(value, str) and value else None


def _texts(said: dict[str, Any], key: str) -> tuple[str, ...] | None:
    value = said.get(key)
    if not isinstance(value, list):
        return None
    return tuple(clean(one, TEXT_LIMIT) for one in value[:LIST_LIMIT] if isinstance(one, str))


def _number(said: dict[str, Any]) -> int | str | None:
    """It goes back to the worker with the type that it had."""
    value = said.get("number")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _INTEGER_LIMIT:
        return value
    return _text(said, "number")


def _manager(said: dict[str, Any]) -> str | None:
    """It is part of a function's name, so it is of use as it is or not at all."""
    value = _text(said, "manager")
    return value if value == said.get("manager") and not unusable(value or "") else None


def _worker(said: dict[str, Any], known: Worker) -> Worker:
    updates: dict[str, Any] = {}
    for name in ("name", "hostname", "fqdn", "program", "version"):
        if (text := _text(said, f"worker_{name}")) is not None:
            updates[name] = text
    if (ips := _texts(said, "worker_ips")) is not None:
        updates["ips"] = ips
    extra = said.get("worker_extra")
    if isinstance(extra, dict):
        pairs = ((clean(key, TEXT_LIMIT), _scalar(value)) for key, value in list(extra.items())[:LIST_LIMIT])
        updates["extra"] = dict(pairs)
    return structs.replace(known, **updates)


def _scalar(value: Any) -> str | int | float | bool | None:
    if isinstance(value, int | float) and abs(value) < _INTEGER_LIMIT:
        return value
    return None if value is None else clean(str(value), TEXT_LIMIT)
