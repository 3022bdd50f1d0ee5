"""Decides whether a host key is the right one, as OpenSSH's known_hosts files say. Nothing is ever added to them.

Read are hashed names, `[host]:port`, patterns with `*`, `?` and `!`, and the marker @revoked; @cert-authority lines
are passed over, since certificates are not asked for. Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zuul_launcher.errors import RemoteRefused

SYSTEM_FILE = Path("/etc/ssh/ssh_known_hosts")


class ConnectionRefused(RemoteRefused):
    """No connection until an administrator acts. Nothing was asked of Gerrit yet."""


class HostKeyUnknown(ConnectionRefused):
    """No file says which key this host has."""


class HostKeyChanged(ConnectionRefused):
    """The host shows another key than it should, or a revoked one: somebody may be in the middle."""


@dataclass(frozen=True)
class KnownKey:
    kind: str  # ssh-ed25519
    key: bytes
    revoked: bool = False


def host_name(host: str, port: int) -> str:
    """The name that a host has in known_hosts."""
    return host if port == 22 else f"[{host}]:{port}"


def read(paths: Iterable[Path], host: str, port: int) -> list[KnownKey]:
    """The keys that the files have for a host, in their order. A file that can not be read has none."""
    name = host_name(host, port).lower()
    found = []
    for path in paths:
        try:
            lines = path.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        found += [known for line in lines if (known := _known_key(line, name))]
    return found


def pinned(text: str) -> KnownKey:
    """Reads `TYPE BASE64`."""
    kind, encoded = text.split()[:2]
    return KnownKey(kind, base64.b64decode(encoded))


def check(known: list[KnownKey], host: str, port: int, kind: str, key: bytes, where: str) -> None:
    """Passes the key that a host shows, or raises HostKeyUnknown or HostKeyChanged.

    `where`: the file or option that `known` is from, for the text.
    """
    name, shown = host_name(host, port), f"{kind} key {fingerprint(key)}"
    if any(each.revoked and each.key == key for each in known):
        raise HostKeyChanged(f"REVOKED HOST KEY: {name} shows the {shown}, which {where} revokes. Connecting stops")
    expected = [each for each in known if not each.revoked]
    if any(each.key == key for each in expected):
        return
    line = f"{name} {kind} {base64.b64encode(key).decode()}"
    if not expected:
        raise HostKeyUnknown(
            f"the host key of {name} is not known: it shows the {shown}."
            f" If that is the right one, add this line to {where}: {line}"
        )
    listed = ", ".join(f"{each.kind} {fingerprint(each.key)}" for each in expected)
    raise HostKeyChanged(
        f"HOST KEY CHANGED: {name} shows the {shown}, but {where} has {listed}. Somebody may be in the middle;"
        f" connecting stops. If the key was changed on purpose, replace the line of {name} by: {line}"
    )


def fingerprint(key: bytes) -> str:
    """As `ssh-keygen -l` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _known_key(line: str, name: str) -> KnownKey | None:
    fields = line.split()
    marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
    if len(fields) < 3 or fields[0].startswith("#") or marker not in ("", "@revoked"):
        return None
    names, kind, encoded = fields[:3]
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    return KnownKey(kind, key, revoked=bool(marker)) if _matches(names, name) else None


def _matches(names: str, name: str) -> bool:
    if names.startswith("|1|"):
        return _hash_matches(names, name)
    found = False
    for pattern in names.lower().split(","):
        negated = pattern.startswith("!")
        # Only `*` and `?` are special in these files; fnmatch would read `[host]` as a set of characters.
        if fnmatch.fnmatchcase(name, pattern.removeprefix("!").replace("[", "[[]")):
            if negated:
                return False
            found = True
    return found


def _hash_matches(names: str, name: str) -> bool:
    try:
        salt, hashed = (base64.b64decode(part, validate=True) for part in names.split("|")[2:4])
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), hashed)
