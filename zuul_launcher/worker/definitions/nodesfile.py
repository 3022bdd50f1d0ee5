"""nodes.yaml -> machines that run builds, and sites that files are copied to. A mistake refuses the file."""

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from zuul_launcher.worker.definitions import values
from zuul_launcher.worker.definitions.job import NodeDefinition, Site
from zuul_launcher.worker.definitions.jobsteps import environment
from zuul_launcher.yamlfile.problems import Problem, Problems
from zuul_launcher.yamlfile.reading import Fields, Reading
from zuul_launcher.yamlfile.tree import Node, parse_file

KEYS = ("nodes", "sites")
SSH_KEYS = ("port", "key", "host_key", "known_hosts")  # only with `host`
NODE_KEYS = ("name", "host", "user", *SSH_KEYS, "python", "root", "labels", "mode", "executors", "env")
SITE_KEYS = ("name", "host", "user", *SSH_KEYS, "root")
MODES = ("normal", "exclusive")
MAXIMUM_EXECUTORS = 1000

Named = TypeVar("Named", NodeDefinition, Site)


class NodesFile(Struct, frozen=True):
    """What the file says; nothing, if there are `errors`."""

    nodes: dict[str, NodeDefinition] = {}
    sites: dict[str, Site] = {}
    names_nodes: bool = False  # it has the key `nodes`
    errors: tuple[Problem, ...] = ()


def read_nodes_file(path: Path) -> NodesFile:
    problems = Problems(str(path))
    reading = Reading(problems)
    root = parse_file(path, problems)
    fields = reading.fields(root, KEYS) if root else None
    nodes = _by_name(reading, fields, "nodes", _node) if fields else {}
    sites = _by_name(reading, fields, "sites", _site) if fields else {}
    return (
        NodesFile(errors=problems.errors)
        if problems.errors
        else NodesFile(nodes, sites, names_nodes=fields is not None and "nodes" in fields)
    )


def _by_name(
    reading: Reading, fields: Fields, key: str, reader: Callable[[Reading, Node], Named | None]
) -> dict[str, Named]:
    found: dict[str, Named] = {}
    seen: dict[str, Node] = {}
    for node in reading.items(fields[key]) if key in fields else []:
        one = reader(reading, node)
        if one is not None and reading.unique(seen, one.name, node):
            found[one.name] = one
    return found


def _node(reading: Reading, node: Node) -> NodeDefinition | None:
    fields = reading.fields(node, NODE_KEYS, required=["name"])
    name = fields.read("name", lambda one: values.word(reading, one)) if fields else None
    if fields is None or name is None:
        return None
    return NodeDefinition(
        name=name,
        python=fields.given("python", lambda one: _argument(reading, one), "python3"),
        root=fields.given("root", lambda one: values.outer_path(reading, one), ""),
        labels=frozenset(fields.every("labels", lambda one: values.word(reading, one))),
        exclusive=fields.read("mode", reading.choice(MODES)) == "exclusive",
        executors=fields.given("executors", lambda one: _executors(reading, one), 1),
        env=fields.given("env", lambda one: environment(reading, one), {}),
        **_address(reading, fields),
    )


def _site(reading: Reading, node: Node) -> Site | None:
    fields = reading.fields(node, SITE_KEYS, required=["name", "root"])
    name = fields.read("name", lambda one: values.word(reading, one)) if fields else None
    if fields is None or name is None:
        return None
    root = fields.given("root", lambda one: _absolute_path(reading, one), "")
    return Site(name=name, root=root, **_address(reading, fields))


def _absolute_path(reading: Reading, node: Node) -> str | None:
    """SFTP knows no `~`."""
    path = values.plain_text(reading, node)
    if path is not None and not path.startswith("/"):
        reading.refuse(node, "expected an absolute path", "begin it with /")
        return None
    return path


def _executors(reading: Reading, node: Node) -> int | None:
    number = reading.at_least(0)(node)
    if number is not None and number > MAXIMUM_EXECUTORS:
        reading.refuse(node, f"value must be at most {MAXIMUM_EXECUTORS}")
    return number


def _address(reading: Reading, fields: Fields) -> dict[str, Any]:
    """What nodes and sites have in common: where they are, and how their host is known."""
    if "host" not in fields:
        for key in SSH_KEYS:
            if key in fields:
                reading.refuse(fields.node.entries[key].key, f"`{key}` is for SSH, and there is no `host`")
    elif "host_key" in fields and "known_hosts" in fields:
        reading.refuse(fields.node.entries["known_hosts"].key, "`host_key` and `known_hosts`: only one can count")
    return {
        "host": fields.read("host", lambda one: _argument(reading, one)),
        "port": fields.given("port", lambda one: _port(reading, one), 22),
        "user": fields.given("user", lambda one: _argument(reading, one), ""),
        "key": fields.read("key", lambda one: _own_path(reading, one)),
        "host_key": fields.read("host_key", lambda one: _host_key(reading, one)),
        "known_hosts": fields.read("known_hosts", lambda one: _own_path(reading, one)),
    }


def _argument(reading: Reading, node: Node) -> str | None:
    """A name of a host, user or program: never an option."""
    name = reading.name(node)
    if name and (name.startswith("-") or not name.isprintable() or " " in name):
        reading.refuse(node, "can not begin with -, have spaces, or characters that are not to be seen")
    return name


def _port(reading: Reading, node: Node) -> int | None:
    number = reading.at_least(1)(node)
    if number is not None and number > 65535:
        reading.refuse(node, "value must be at most 65535")
    return number


def _own_path(reading: Reading, node: Node) -> str | None:
    """A file of this machine; `~` is the home folder of whom the worker runs as."""
    path = values.outer_path(reading, node)
    return str(Path(path).expanduser()) if path else path


def _host_key(reading: Reading, node: Node) -> str | None:
    """`TYPE BASE64`, as in known_hosts after the name; a comment may follow."""
    text = reading.text(node)
    if text is None:
        return None
    words = text.split()
    if len(words) >= 2 and _is_key(words[0], words[1]):
        return f"{words[0]} {words[1]}"
    reading.refuse(node, "this is no host key", "its type and its base64, as in `ssh-ed25519 AAAA...`")
    return None


def _is_key(kind: str, encoded: str) -> bool:
    """The type stands in the key itself, after its length."""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    return raw[4 : 4 + int.from_bytes(raw[:4])] == kind.encode() and len(raw) > 4 + len(kind)
