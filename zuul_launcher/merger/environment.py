"""What the merger's git commands see: no configuration but ours, no hooks, filters or prompts; and how they use ssh."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from zuul_launcher.git import configuration
from zuul_launcher.merger.settings import GitAccess

_FROM_PROCESS = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)

_CONFIGURATION = {
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "gc.autoDetach": "false",
    "maintenance.auto": "false",
    # A server that stops talking is given up long before the deadline.
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
}


def base_environment(
    process_environment: Mapping[str, str], user_name: str, user_email: str, allow_file: bool
) -> dict[str, str]:
    """The hardened environment of every git command, and who it commits as."""
    environment = {name: process_environment[name] for name in _FROM_PROCESS if name in process_environment}
    environment.setdefault("PATH", os.defpath)
    environment |= {
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_ALLOW_PROTOCOL": "ssh:https:http" + (":file" if allow_file else ""),
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ADVICE": "0",
        "GIT_SSH_VARIANT": "ssh",
        "GIT_AUTHOR_NAME": user_name,
        "GIT_AUTHOR_EMAIL": user_email,
        "GIT_COMMITTER_NAME": user_name,
        "GIT_COMMITTER_EMAIL": user_email,
    }
    return environment | configuration(_CONFIGURATION)


def ssh_command(access: GitAccess, pinned: Path | None) -> str:
    """The text for GIT_SSH_COMMAND, which git gives to a shell. ``pinned`` is a known_hosts file with the host key."""
    options = [
        *("BatchMode=yes", "StrictHostKeyChecking=yes", "ControlMaster=no", "ControlPath=none"),
        *("ConnectTimeout=30", "ServerAliveInterval=15", "ServerAliveCountMax=4"),
    ]
    if access.sshkey:
        options += [f"IdentityFile={_ssh_path(access.sshkey)}", "IdentitiesOnly=yes"]
    known_hosts = pinned or access.known_hosts
    if known_hosts:
        options += [f"UserKnownHostsFile={_ssh_path(known_hosts)}", "GlobalKnownHostsFile=/dev/null"]
    return shlex.join(["ssh", *(word for option in options for word in ("-o", option))])


def own_ssh_command(program: Sequence[str], access: GitAccess) -> str:
    """The text for GIT_SSH_COMMAND with a program of ours in place of ssh. It never trusts unknown keys, nor asks."""
    options = {"sshkey": access.sshkey, "known-hosts": access.known_hosts, "host-key": access.host_key.strip()}
    return shlex.join([*program, *(f"--{name}={value}" for name, value in options.items() if value)])


def _ssh_path(path: Path) -> str:
    # ssh splits at blanks and expands % in file names itself.
    return '"' + str(path).replace("%", "%%") + '"'
