"""nodes.yaml: machines and sites, and what refuses the file."""

from pathlib import Path

import pytest

from zuul_launcher.worker.definitions.job import Definitions, NodeDefinition, Site
from zuul_launcher.worker.definitions.load import Sources, load
from zuul_launcher.yamlfile.problems import FileErrors

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEu0WvmYbNTFoXJYYwRXPLEoMX6UoCEeIjYmC1MiHvCi"
FULL = f"""
nodes:
  - name: trusty-7
    host: trusty-7.example.org
    port: 2222
    user: builder
    key: /etc/worker/key
    host_key: "{KEY} root@trusty-7"
    python: /opt/python/bin/python3
    root: ~/builds
    labels: [trusty, docker]
    mode: exclusive
    executors: 4
    env: {{LANG: C.UTF-8}}
  - {{name: here, labels: linux, user: nobody, root: /srv/builds}}
sites:
  - {{name: logs, root: /srv/logs}}
  - {{name: far, root: /srv, host: logs.example.org, user: copier, port: 23, key: ~/.ssh/key,
     known_hosts: /etc/hosts-known}}
"""


def definitions(folder: Path, text: str) -> Definitions:
    (folder / "nodes.yaml").write_text(text)
    return load(Sources(nodes=folder / "nodes.yaml"))


def test_every_key_of_a_node_has_its_meaning(tmp_path: Path) -> None:
    found = definitions(tmp_path, FULL)
    assert found.nodes == {
        "trusty-7": NodeDefinition(
            name="trusty-7",
            host="trusty-7.example.org",
            port=2222,
            user="builder",
            key="/etc/worker/key",
            host_key=KEY,
            python="/opt/python/bin/python3",
            root="~/builds",
            labels=frozenset({"trusty", "docker"}),
            exclusive=True,
            executors=4,
            env={"LANG": "C.UTF-8"},
        ),
        "here": NodeDefinition(name="here", user="nobody", root="/srv/builds", labels=frozenset({"linux"})),
    }
    assert [node.is_local for node in found.nodes.values()] == [False, True]


def test_every_key_of_a_site_has_its_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/manager")
    assert definitions(tmp_path, FULL).sites == {
        "logs": Site(name="logs", root="/srv/logs"),
        "far": Site(
            name="far",
            root="/srv",
            host="logs.example.org",
            user="copier",
            port=23,
            key="/home/manager/.ssh/key",
            known_hosts="/etc/hosts-known",
        ),
    }


# What is wrong, by kind of entry; where, and what is said.
WRONG = [
    ("no name", "nodes: [{host: x}]", "1:9", "required key not provided: 'name'"),
    ("unknown key", "nodes: [{name: a, label: x}]", "1:19", "did you mean 'labels'?"),
    ("two of a name", "nodes: [{name: a}, {name: a}]", "1:20", "Duplicate name: a (first in line 1)"),
    ("name with colon", 'nodes: [{name: "a:b"}]', "1:16", "can not have spaces, colons"),
    ("name with space", "nodes: [{name: a b}]", "1:16", "can not have spaces, colons"),
    ("label with space", "nodes: [{name: a, labels: [a b]}]", "1:28", "can not have spaces, colons"),
    ("unknown mode", "nodes: [{name: a, mode: exclusively}]", "1:25", "did you mean 'exclusive'?"),
    ("executors below none", "nodes: [{name: a, executors: -1}]", "1:30", "value must be at least 0"),
    ("too many executors", "nodes: [{name: a, executors: 1001}]", "1:30", "value must be at most 1000"),
    ("executors as text", 'nodes: [{name: a, executors: "2"}]', "1:30", "expected int"),
    ("no port", "nodes: [{name: a, host: b, port: 0}]", "1:34", "value must be at least 1"),
    ("large port", "nodes: [{name: a, host: b, port: 65536}]", "1:34", "value must be at most 65535"),
    ("host as option", "nodes: [{name: a, host: -oProxyCommand=x}]", "1:25", "can not begin with -"),
    ("python as option", "nodes: [{name: a, python: -c}]", "1:27", "can not begin with -"),
    ("user with a space", "nodes: [{name: a, host: b, user: c d}]", "1:34", "can not begin with -, have spaces"),
    ("no key", "nodes: [{name: a, host: b, host_key: ssh-ed25519}]", "1:38", "this is no host key"),
    ("key of another type", f"nodes: [{{name: a, host: b, host_key: ssh-rsa {KEY[12:]}}}]", "1:38", "no host key"),
    ("no base64", "nodes: [{name: a, host: b, host_key: ssh-ed25519 ä}]", "1:38", "this is no host key"),
    ("relative key", "nodes: [{name: a, host: b, key: id}]", "1:33", "expected an absolute path"),
    ("relative root", "nodes: [{name: a, root: builds}]", "1:25", "expected an absolute path"),
    ("port without host", "nodes: [{name: a, port: 22}]", "1:19", "`port` is for SSH, and there is no `host`"),
    (
        "two ways to know a host",
        f"nodes: [{{name: a, host: b, host_key: {KEY}, known_hosts: /x}}]",
        "1:120",
        "only one",
    ),
    ("number in env", "nodes: [{name: a, env: {A: 1}}]", "1:28", "expected str (put it in quotes)"),
    ("site without root", "sites: [{name: a}]", "1:9", "required key not provided: 'root'"),
    ("relative root of a site", "sites: [{name: a, root: x}]", "1:25", "expected an absolute path"),
    ("root of a site below home", "sites: [{name: a, root: ~/x}]", "1:25", "expected an absolute path"),
    ("unknown key of a site", "sites: [{name: a, root: /x, labels: y}]", "1:29", "extra keys not allowed: 'labels'"),
    ("two sites of a name", "sites: [{name: a, root: /x}, {name: a, root: /y}]", "1:30", "Duplicate name: a"),
    ("unknown part", "node: []", "1:1", "did you mean 'nodes'?"),
    ("a list", "- name: a", "1:1", "expected a dictionary"),
]


@pytest.mark.parametrize(("name", "text", "place", "message"), WRONG, ids=[one[0] for one in WRONG])
def test_a_mistake_refuses_the_file(tmp_path: Path, name: str, text: str, place: str, message: str) -> None:
    """D79. Reload with a broken file: old jobs stay, error reported. (Whoever reloads keeps what it has.)"""
    with pytest.raises(FileErrors) as caught:
        definitions(tmp_path, text)
    (problem,) = caught.value.problems
    assert (str(problem).split(" ")[0], message in str(problem)) == (f"{tmp_path}/nodes.yaml:{place}:", True), name
