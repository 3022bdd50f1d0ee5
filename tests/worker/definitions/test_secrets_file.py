"""secrets.yaml: what it may hold, who may read it, and that no value of it is ever shown."""

from pathlib import Path

import pytest

from zuul_launcher.worker.definitions.job import Definitions
from zuul_launcher.worker.definitions.load import Sources, load
from zuul_launcher.yamlfile.problems import FileErrors


def definitions(folder: Path, text: str, mode: int = 0o600) -> Definitions:
    path = folder / "secrets.yaml"
    path.write_text(text)
    path.chmod(mode)
    return load(Sources(secrets=path))


ALL = """
token: {text: hunter2}
settings: {file: "hunter2\\n"}
account: {username: hunter2, password: hunter2}
key: {private_key: hunter2}
agent: {private_key: hunter2, passphrase: hunter2, username: hunter2}
"""


def test_each_form_is_read(tmp_path: Path) -> None:
    assert definitions(tmp_path, ALL).secrets == {
        "token": {"text": "hunter2"},
        "settings": {"file": "hunter2\n"},
        "account": {"username": "hunter2", "password": "hunter2"},
        "key": {"private_key": "hunter2"},
        "agent": {"private_key": "hunter2", "passphrase": "hunter2", "username": "hunter2"},
    }


def test_no_value_is_in_a_repr(tmp_path: Path) -> None:
    """D91. Secret values never occur in console, WORK_DATA or API. (They are kept from logs and tracebacks here.)"""
    found = definitions(tmp_path, ALL)
    shown = f"{found!r} {found} {found.secrets} {found.secrets['token']!r} {found.secrets['account']}"
    assert "account" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_a_file_that_others_have_access_to_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(FileErrors, match=r"others than its owner have access .* \(chmod 600 secrets\.yaml\)"):
        definitions(tmp_path, ALL, mode)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    assert definitions(tmp_path, ALL, mode).secrets


# Each holds hunter2 where a careless message would quote it.
WRONG = [
    ("plain text", "token: hunter2", "1:8", "expected a dictionary (write NAME: {text:"),
    ("unknown key", "token: {hunter2: x}", "1:8", "these keys make no secret"),
    ("flow mapping of the secret", "token: {hunter2}", "1:8", "expected texts"),
    ("tag", "token: {text: !hunter2 x}", "1:15", "what stands here is not shown"),
    ("alias", "token: {text: *hunter2}", "1:15", "what stands here is not shown"),
    ("number", "token: {text: 2}\nother: {text: hunter2}", "1:8", "a number is to be put in quotes"),
    ("large number", "token: {text: 99999999999999999999, file: hunter2}", "1:15", "is not shown"),
    ("duplicate key", "token: {hunter2: x, hunter2: y}", "1:21", "is not shown"),
    ("broken YAML", "token: {text: 'hunter2}", "1:24", "is not shown"),
    ("half of an account", "token: {username: hunter2}", "1:8", "these keys make no secret"),
    ("two forms", "token: {text: hunter2, file: hunter2}", "1:8", "these keys make no secret"),
    ("empty", "token: {text: ''}\n# hunter2", "1:8", "expected texts that are not empty"),
    ("a list", "[hunter2]", "1:1", "expected a dictionary"),
    ("a text", "hunter2", "1:1", "expected a dictionary"),
]


@pytest.mark.parametrize(("name", "text", "place", "message"), WRONG, ids=[one[0] for one in WRONG])
def test_a_mistake_is_told_without_what_stands_there(
    tmp_path: Path, name: str, text: str, place: str, message: str
) -> None:
    with pytest.raises(FileErrors) as caught:
        definitions(tmp_path, text)
    problem = str(caught.value)
    assert problem.startswith(f"{tmp_path}/secrets.yaml:{place}: "), problem
    assert message in problem
    assert "hunter2" not in problem, name


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileErrors, match=r"none\.yaml:1:1: the file can not be read: No such file"):
        load(Sources(secrets=tmp_path / "none.yaml"))
