"""What the cloner's git commands see: the user's own set-up, with keys and credentials, but no hooks or templates.

Variables that point git at another repository, as a git hook sets them, are left out.
"""

from collections.abc import Mapping

from zuul_launcher.git import configuration

_POINTERS = frozenset(
    {
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"),
        *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_NAMESPACE"),
        *("GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_REPLACE_REF_BASE"),
        *("GIT_INTERNAL_SUPER_PREFIX", "GIT_TEMPLATE_DIR"),
    }
)

_CONFIGURATION = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    # Nothing goes on after the command.
    "gc.autoDetach": "false",
    "maintenance.autoDetach": "false",
    # Caches and workspaces often belong to another user; they are those that the caller names.
    "safe.directory": "*",
    # A server that stops talking is given up long before the deadline.
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "300",
}


def git_environment(process_environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of every git command, made from that of the process."""
    environment = {name: value for name, value in process_environment.items() if name not in _POINTERS}
    count = environment.get("GIT_CONFIG_COUNT", "")
    return {
        "GIT_TERMINAL_PROMPT": "0",
        **environment,
        **configuration(_CONFIGURATION, first=int(count) if count.isdecimal() else 0),
        "GIT_ALLOW_PROTOCOL": "ssh:https:http:git:file",
        "LC_ALL": "C",  # what git says is read
    }
