"""Format strings of the site (`url_pattern`, `success-pattern`, a mail's `subject`).

`str.format` as v2 had it, but a field is looked up in the named facts and nowhere else: no attribute of a Python
object can be reached, so a pattern shows what it may show or is refused with PatternError.
"""

import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from msgspec import Struct, field

from zuul_launcher.model.change import Change, Ref, Subject
from zuul_launcher.model.queue import Build

_FIELD = re.compile(r"(?P<name>[A-Za-z]\w*)(?P<rest>(?:\.[A-Za-z]\w*|\[[^\[\]]+\])*)")
_STEP = re.compile(r"\.(?P<fact>\w+)|\[(?P<key>[^\[\]]+)\]")
_LONGEST = 4000  # characters that one field may become: longer ones are mistakes, or meant badly


class PatternError(ValueError):
    """The pattern asks for something that is not there, or is no pattern at all."""


class Facts(Struct, frozen=True):
    """What a pattern can ask about one thing: `text` when it is named alone, `facts` by `.NAME`."""

    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)


class _FactsFormatter(Formatter):
    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        parts = _FIELD.fullmatch(field_name)
        if parts is None or parts["name"] not in kwargs:
            raise PatternError(f"there is no field {field_name!r}")
        value = kwargs[parts["name"]]
        for step in _STEP.finditer(parts["rest"]):
            known = value.facts if isinstance(value, Facts) and step["fact"] else value
            wanted = step["fact"] or step["key"]
            if not isinstance(known, Mapping) or (step["fact"] and known is value) or wanted not in known:
                raise PatternError(f"there is no field {field_name!r}")
            value = known[wanted]
        return value, parts["name"]

    def format_field(self, value: Any, format_spec: str) -> str:
        if re.search(r"\d{4}", format_spec):
            raise PatternError(f"a width of {format_spec!r} is too large")
        text = str(format(value, format_spec))
        if len(text) > _LONGEST:
            raise PatternError("a value is too long")
        return text


def fill(pattern: str, **facts: Facts) -> str:
    """The pattern with its fields filled in. Missing values print as `None`.

    Raises PatternError for everything that can be wrong with it.
    """
    try:
        return _FactsFormatter().vformat(pattern, (), facts)
    except (ValueError, TypeError, LookupError, OverflowError) as wrong:
        raise PatternError(f"{pattern!r}: {wrong}") from wrong


def facts_of_change(subject: Subject) -> Facts:
    """What patterns call `change`. A ref has no number, a change no newrev: that difference is v2's."""
    project = Facts(subject.project, {"name": subject.project})
    shared = {"project": project, "url": subject.url or None}
    if isinstance(subject, Change):
        own = {name: getattr(subject, name) for name in ("number", "patchset", "branch")}
        return Facts(subject.id, {**shared, **own, "refspec": subject.ref})
    own = {name: getattr(subject, name) for name in ("ref", "oldrev", "newrev")} if isinstance(subject, Ref) else {}
    return Facts(subject.id, {**shared, **own})


def facts_of_build(build: Build | None, parameters: Mapping[str, Any]) -> Facts:
    """What patterns call `build`. A job that was never launched has a build of which nothing is known."""
    names = ("number", "uuid", "url", "node_name")
    known = {name: getattr(build, name, None) for name in names}
    return Facts(str(known["uuid"]), {**known, "parameters": parameters})


def named(name: str) -> Facts:
    """What patterns call `pipeline` and `job`."""
    return Facts(name, {"name": name})
