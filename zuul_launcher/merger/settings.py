"""What a merger must be told: where it keeps repositories, who it is, how it reaches Gearman and the git servers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class GitAccess:
    """How git reaches the server of one connection over SSH.

    Without ``known_hosts`` the user's own file counts. ``host_key`` pins the server's key instead: key type and base64
    text as in a known_hosts line, without the host ("ssh-ed25519 AAAA…"). An unknown or other key is always refused.
    """

    sshkey: Path | None = None
    known_hosts: Path | None = None
    host_key: str = ""


@dataclass(frozen=True)
class MergerSettings:
    """All settings of one merger process, [merger] and [gearman] of zuul.conf and the connections' keys.

    ``environment`` is the process environment; git is given only what it needs of it. ``git_timeout`` is in seconds
    for each git command, ``ref_expiry`` in days. ``allow_file`` lets URLs name paths of this machine (tests, demo).
    ``own_ssh`` is the command that git starts where no ``ssh`` is on PATH, with the options of `own_ssh_command`.
    """

    git_dir: Path
    zuul_url: str
    gearman_server: str
    gearman_port: int = 4730
    user_name: str = "Zuul"
    user_email: str = "zuul@localhost"
    connections: Mapping[str, GitAccess] = field(default_factory=dict)
    git_timeout: float = 300.0
    ref_expiry: float = 14.0
    environment: Mapping[str, str] = field(default_factory=dict)
    allow_file: bool = False
    own_ssh: Sequence[str] = ()
