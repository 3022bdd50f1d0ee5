"""Secrets of builds: what steps get of them, and where they never are."""

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.build_world import World, job
from support.services import program

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.worker.builds.credentials import secrets_of
from zuul_launcher.worker.definitions.job import Artifacts, Credential, Job

SECRET = "p4ss/w0rd+'x"


def ran(world: World, wanted: Job, secrets: Any, payload: Any = None) -> dict[str, Any]:
    world.define(wanted, secrets=secrets)
    return world.assign(payload=payload).end()


def test_a_text_is_a_variable_that_is_never_shown(world: World) -> None:
    """D91."""
    script = (
        'echo "$TOKEN"; printf %s "$TOKEN" | base64; printf "u:%s" "$TOKEN" | base64; printf %s "$TOKEN" | sha256sum'
    )
    wanted = job(script, credentials=(Credential(variable="TOKEN", secret="t"),))
    end = ran(world, wanted, {"t": {"text": SECRET}})
    assert end["result"] == "SUCCESS"
    console = world.console()
    assert SECRET not in console
    assert base64.b64encode(SECRET.encode()).decode() not in console
    assert base64.b64encode(f"u:{SECRET}".encode()).decode()[4:-4] not in console
    assert hashlib.sha256(SECRET.encode()).hexdigest() in console
    assert SECRET not in json.dumps(end)
    assert SECRET not in repr(world.history.records)


def test_a_secret_that_comes_in_parts_is_not_shown(world: World) -> None:
    """D91."""
    script = "#!/usr/bin/env python3\nimport os\nfor letter in os.environ['T']: print(letter, end='', flush=True)"
    ran(world, job(script, credentials=(Credential(variable="T", secret="t"),)), {"t": {"text": "abcdefgh"}})
    assert world.console().startswith("****\n")


def test_a_file_is_for_its_owner_alone_and_gone_after_the_build(world: World) -> None:
    script = '#!/bin/sh\nstat -c %a "$KEY"; wc -c < "$KEY"; echo "$KEY" > where'
    wanted = job(script, credentials=(Credential(variable="KEY", secret="k", kind="file"),))
    end = ran(world, wanted, {"k": {"file": "line one\nline two\n"}})
    assert end["result"] == "SUCCESS"
    assert world.console().startswith("600\n18\n")
    path = Path((world.place / "workspace" / "unit" / "where").read_text().strip())
    assert path.parent == world.place / "workspace" / "unit@tmp"
    assert not path.exists()


def test_a_file_is_gone_after_a_failure_too(world: World) -> None:
    wanted = job('echo "$KEY" > where; false', credentials=(Credential(variable="KEY", secret="k", kind="file"),))
    assert ran(world, wanted, {"k": {"file": "x"}})["result"] == "FAILURE"
    assert not Path((world.place / "workspace" / "unit" / "where").read_text().strip()).exists()


def test_a_secret_is_no_artifact_of_its_build(world: World) -> None:
    publish = (Artifacts(paths=("**",), allow_empty=True),)
    wanted = job("true", credentials=(Credential(variable="KEY", secret="k", kind="file"),), publish=publish)
    ran(world, wanted, {"k": {"file": "hidden-content"}})
    folder = world.build_folder("unit", 1).path
    assert not any(b"hidden-content" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_name_and_password_are_two_variables_and_the_name_is_shown(world: World) -> None:
    credentials = (
        Credential(variable="USER_NAME", secret="s", kind="username"),
        Credential(variable="PASSWORD", secret="s", kind="password"),
    )
    secrets = {"s": {"username": "zuul", "password": SECRET}}
    ran(world, job('#!/bin/sh\necho "$USER_NAME $PASSWORD"', credentials=credentials), secrets)
    assert world.console().startswith("zuul ****\n")


def test_parameters_do_not_take_the_place_of_a_secret(world: World) -> None:
    wanted = job(
        '#!/bin/sh\n[ "$TOKEN" = real-secret ] && echo same', credentials=(Credential(variable="TOKEN", secret="t"),)
    )
    ran(world, wanted, {"t": {"text": "real-secret"}}, {"TOKEN": "evil"})
    assert "same\n" in world.console()


@pytest.mark.parametrize(
    ("credential", "store"),
    [
        (Credential(variable="T", secret="missing"), {}),
        (Credential(variable="T", secret="s", kind="password"), {"s": {"text": SECRET}}),
        (Credential(variable="T", secret="s", kind="ssh-agent"), {"s": {"private_key": SECRET}}),
        (Credential(variable="T", secret="s"), {"s": {"text": f"{SECRET}\0"}}),
    ],
)
def test_a_secret_that_cannot_be_had_is_told_without_any_secret(credential: Credential, store: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        secrets_of(job(credentials=(credential,)), store)
    assert SECRET not in str(error.value)


def test_without_its_secret_a_build_fails_before_any_step(world: World) -> None:
    end = ran(world, job("touch ran", credentials=(Credential(variable="T", secret="missing"),)), {})
    assert end["result"] == "FAILURE"
    assert "no secret 'missing'" in world.console()
    assert not (world.place / "workspace").exists()


@pytest.mark.parametrize(
    ("kind", "passphrase", "form"),
    [("ed25519", "", "RFC4716"), ("ecdsa", "open sesame", "RFC4716"), ("ecdsa", "", "PEM")],
)
def test_an_ssh_agent_has_the_key_which_never_lies_on_the_node(
    world: World, tmp_path: Path, kind: str, passphrase: str, form: str
) -> None:
    if program("ssh-agent") is None:
        pytest.skip("no ssh-agent")
    key = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-m", form, "-C", "", "-f", str(key)]
    subprocess.run(command, check=True, timeout=60)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], check=True, timeout=60, capture_output=True, text=True)
    wanted = job(
        "#!/bin/sh\nssh-add -l; echo $SSH_AUTH_SOCK > socket; grep -rl PRIVATE . $WORKSPACE_TMP; true",
        credentials=(Credential(variable="", secret="k", kind="ssh-agent"),),
    )
    secret = {"private_key": key.read_text(), "passphrase": passphrase}
    end = ran(world, wanted, {"k": secret})
    assert end["result"] == "SUCCESS", world.console()
    assert shown.stdout.split()[1] in world.console()
    assert len([line for line in world.console().splitlines() if line.startswith(("./", str(world.place)))]) == 1
    assert not Path((world.place / "workspace" / "unit" / "socket").read_text().strip()).exists()
