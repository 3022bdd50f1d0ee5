"""The secrets of a build: what its steps see of them, which files they need, and what the console must not show.

A file is for its owner alone, in the temporary folder, which is removed at the end. A key for SSH never lies on the
node: it is handed to an ssh-agent there, which ends with the build.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from msgspec import Struct

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.launcher import LaunchError
from zuul_launcher.worker.builds.bench import Bench, Seen, TimeLimit, Unavailable, node_errors, run
from zuul_launcher.worker.builds.environment import COOKIE
from zuul_launcher.worker.definitions.job import Job

FILE_MODE = 0o600
AGENT_SECONDS = 60.0

_SOCKET = re.compile(rb"SSH_AUTH_SOCK=([^;]+);")
_SHOWN = ("username",)  # parts of a secret that are none


class Secrets(Struct, frozen=True, kw_only=True):
    """`files`: below the temporary folder; `paths`: variables that hold the place of one. `keys`: for ssh-agent."""

    variables: Mapping[str, str] = {}
    files: Mapping[str, tuple[bytes, int]] = {}
    paths: Mapping[str, str] = {}
    keys: tuple[tuple[str, bytes], ...] = ()  # variable of the credential, key without passphrase
    hidden: tuple[str, ...] = ()


def secrets_of(job: Job, store: Mapping[str, Mapping[str, str]]) -> Secrets:
    """ConfigurationError: the store does not have what the job needs; its text holds no secret."""
    variables: dict[str, str] = {}
    files: dict[str, tuple[bytes, int]] = {}
    paths: dict[str, str] = {}
    keys: list[tuple[str, bytes]] = []
    hidden: set[str] = set()
    for number, wanted in enumerate(job.credentials, 1):
        secret = store.get(wanted.secret)
        if secret is None:
            raise ConfigurationError(
                f"there is no secret {wanted.secret!r}: write it into secrets.yaml, or correct the job"
            )
        hidden |= {text for part, text in secret.items() if part not in _SHOWN and text}
        if wanted.kind == "ssh-agent":
            keys.append((wanted.variable, _plain_key(wanted.secret, secret)))
        elif wanted.kind == "file":
            content = secret.get("file", secret.get("text", secret.get("private_key")))
            paths[wanted.variable] = name = f"secret-{number}"
            files[name] = (_part(wanted.secret, "file", content).encode("utf-8", "surrogateescape"), FILE_MODE)
        else:
            variables[wanted.variable] = _part(wanted.secret, wanted.kind, secret.get(wanted.kind))
    return Secrets(variables=variables, files=files, paths=paths, keys=tuple(keys), hidden=tuple(sorted(hidden)))


def _part(name: str, part: str, text: str | None) -> str:
    if text is None:
        raise ConfigurationError(f"the secret {name!r} has no {part}")
    if "\0" in text and part != "file":
        raise ConfigurationError(f"the secret {name!r} holds a NUL, which no variable can")
    return text


def _plain_key(name: str, secret: Mapping[str, str]) -> bytes:
    data = _part(name, "private_key", secret.get("private_key")).encode()
    passphrase = secret.get("passphrase", "").encode() or None
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        key = load(data, passphrase)
        return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(f"the secret {name!r} has a key that cannot be read, or another passphrase") from None


def variables_of(secrets: Secrets, temporary: FilePath) -> dict[str, str]:
    """What steps see."""
    return {**secrets.variables, **{variable: str(temporary / name) for variable, name in secrets.paths.items()}}


@contextmanager
def ssh_agent(bench: Bench, secrets: Secrets) -> Iterator[None]:
    """An ssh-agent on the node with the keys, for the block; adds SSH_AUTH_SOCK.

    Raises Unavailable, Aborted, NodeLost."""
    if not secrets.keys:
        yield
        return
    heard = _Heard()
    with node_errors():
        try:  # in the foreground: no sweep finds it, since the system hides the environment of an agent
            variables = {**bench.variables, COOKIE: ""}
            agent = bench.launcher.launch(["ssh-agent", "-D"], env=variables, stdout=cast(BinaryIO, heard))
        except LaunchError as error:
            raise Unavailable(f"ssh-agent on {bench.node}: {error.strerror}") from error
        with agent:
            bench.variables["SSH_AUTH_SOCK"] = socket = heard.socket(AGENT_SECONDS)
            for variable, key in secrets.keys:
                _add(bench, key)
                bench.variables |= {variable: socket} if variable else {}
            yield


class _Heard:
    """Waits for the place of the agent in what it says."""

    def __init__(self) -> None:
        self._data = b""
        self._change = threading.Condition()

    def write(self, data: bytes) -> int:
        with self._change:
            self._data = (self._data + data)[:4096]
            self._change.notify_all()
        return len(data)

    def socket(self, seconds: float) -> str:
        with self._change:
            self._change.wait_for(lambda: _SOCKET.search(self._data), seconds)
            found = _SOCKET.search(self._data)
        if found is None:
            raise Unavailable("ssh-agent does not say where it is")
        return found[1].decode(errors="replace")


def _add(bench: Bench, key: bytes) -> None:
    heard = Seen(None)
    try:
        status = run(bench, ["ssh-add", "-q", "-"], stdin=key, seconds=AGENT_SECONDS, output=heard)
    except (LaunchError, TimeLimit) as error:
        raise Unavailable(f"ssh-add on {bench.node}: {error}") from error
    if status:
        said = heard.last[-500:].decode(errors="replace")
        raise Unavailable(f"ssh-add on {bench.node} ended with status {status}: {said}")
