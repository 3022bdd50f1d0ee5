"""secrets.yaml -> the secrets that jobs may have. Only its owner may read the file, and no value of it is ever shown:
not in an error (a mistake may be what stands beside the secret, or the secret itself), not in a repr.
"""

import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from zuul_launcher.yamlfile.problems import Place, Placed, Problem, Problems
from zuul_launcher.yamlfile.tree import Mapping as MappingNode
from zuul_launcher.yamlfile.tree import Node, Scalar, parse_file

# What the keys of a secret can be. `passphrase` and `username` may be left out.
FORMS = (("text",), ("file",), ("username", "password"), ("private_key", "passphrase", "username"))

_OPTIONAL = {"private_key": ("passphrase", "username")}
_HINT = 'write NAME: {text: "..."}, {file: ...}, {username: ..., password: ...} or {private_key: ...}'

T = TypeVar("T")


class Hidden(dict[str, T]):
    """A dictionary that shows its names only."""

    def __repr__(self) -> str:
        return f"<{', '.join(sorted(self))}>"


class SecretsFile(Struct, frozen=True):
    """What the file says; nothing, if there are `errors`."""

    secrets: Mapping[str, Mapping[str, str]] = Hidden()
    errors: tuple[Problem, ...] = ()


def read_secrets_file(path: Path) -> SecretsFile:
    problems = Problems(str(path))
    root = _tree(path, problems)
    secrets = _secrets(root, problems.refuse) if root else None
    return SecretsFile(errors=problems.errors) if secrets is None or problems.errors else SecretsFile(secrets)


def _tree(path: Path, problems: Problems) -> Node | None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        problems.refuse(Place(), f"the file can not be read: {error.strerror}")
        return None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        problems.refuse(Place(), "others than its owner have access to this file", f"chmod 600 {path.name}")
        return None
    hushed = Problems(str(path))
    root = parse_file(path, hushed)
    for one in hushed.errors:
        problems.refuse(one, "this can not be read; what stands here is not shown", "quote it, or check its YAML")
    return root if not hushed.errors else None


def _secrets(root: Node, refuse: Callable[[Placed, str, str | None], None]) -> Hidden[Hidden[str]] | None:
    if not isinstance(root, MappingNode):
        refuse(root, "expected a dictionary", _HINT)
        return None
    secrets: Hidden[Hidden[str]] = Hidden()
    for name, entry in root.entries.items():
        secret = _secret(entry.value)
        if isinstance(secret, str):
            refuse(entry.value, secret, _HINT)
        else:
            secrets[name] = secret
    return secrets


def _secret(node: Node) -> Hidden[str] | str:
    """The secret, or what is wrong with it."""
    if not isinstance(node, MappingNode):
        return "expected a dictionary"
    parts: Hidden[str] = Hidden()
    for key, entry in node.entries.items():
        value = entry.value
        if not isinstance(value, Scalar) or value.kind != "str" or not value.value:
            return "expected texts that are not empty; a number is to be put in quotes"
        parts[key] = str(value.value)
    for form in FORMS:
        optional = _OPTIONAL.get(form[0], ())
        if set(form) - set(optional) <= set(parts) <= set(form):
            return parts
    return "these keys make no secret"
