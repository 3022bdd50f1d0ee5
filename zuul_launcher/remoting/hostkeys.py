"""Is this the node it should be? Its host key must be pinned or known; none is ever added. Controller only.

What paramiko says about a key does not help the person who has to decide: here the text has the fingerprint, as
`ssh-keygen -l` shows it, and the line of known_hosts. paramiko reads hashed names and `[host]:port`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path

import paramiko

from zuul_launcher.remoting.errors import HandshakeFailed

OF_THE_USER = "~/.ssh/known_hosts"
_QUOTED = 100  # characters of what is no key


class HostKeyRefused(HandshakeFailed):
    """The host key is unknown, or another one than it should be. The text has the line of known_hosts."""


class _Refusal(paramiko.MissingHostKeyPolicy):
    def __init__(self, place: str) -> None:
        self._place = place

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise HostKeyRefused(
            f"the host key of {hostname} is not known: it shows the {_shown(key)}. If that is the right one,"
            f" add this line to {self._place}: {_line(hostname, key)}"
        )


def trust(client: paramiko.SSHClient, host: str, port: int, pinned: str, known_hosts: Path | None) -> None:
    """Let the client connect to who has the pinned key, else one of the file (None: that of the user).

    HandshakeFailed: the pinned key is none. OSError: the file cannot be read.
    """
    place = OF_THE_USER if known_hosts is None else str(known_hosts)
    client.set_missing_host_key_policy(_Refusal(place))
    if pinned:
        key = _parsed(pinned)
        client.get_host_keys().add(_name(host, port), key.get_name(), key)
    elif known_hosts is None:
        client.load_system_host_keys()
    else:
        client.load_host_keys(str(known_hosts))


def changed(error: paramiko.BadHostKeyException, port: int, place: str) -> HostKeyRefused:
    """The error for a key that is another one than `place` has."""
    name = _name(error.hostname, port)
    return HostKeyRefused(
        f"HOST KEY CHANGED: {name} shows the {_shown(error.key)}, but {place} has the {_shown(error.expected_key)}."
        f" Somebody may be in the middle. If the key was changed on purpose, it is: {_line(name, error.key)}"
    )


def _parsed(pinned: str) -> paramiko.PKey:
    kind, _, rest = pinned.strip().partition(" ")
    try:
        key = paramiko.PKey.from_type_string(kind, base64.b64decode((rest.split() or [""])[0], validate=True))
    except (binascii.Error, paramiko.SSHException, paramiko.pkey.UnknownKeyType, ValueError, IndexError) as error:
        quoted = f"{pinned[:_QUOTED]!r}"
        raise HandshakeFailed(f"the pinned host_key is not 'TYPE KEY', as a file .pub has it: {quoted}") from error
    return key


def _name(host: str, port: int) -> str:
    """The name that a host has in known_hosts."""
    return host if port == 22 else f"[{host}]:{port}"


def _line(name: str, key: paramiko.PKey) -> str:
    return f"{name} {key.get_name()} {key.get_base64()}"


def _shown(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} key SHA256:{digest}"
