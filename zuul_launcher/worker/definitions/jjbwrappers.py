"""What stands around the steps in Jenkins Job Builder: wrappers, properties and parameters."""

from collections.abc import Callable
from typing import Any

from zuul_launcher.worker.definitions.jjbdraft import (
    Draft,
    Unsupported,
    entries,
    mapping,
    number,
    refuse_others,
    required,
    text,
    truth,
)
from zuul_launcher.worker.definitions.jjbjob import Component
from zuul_launcher.worker.definitions.job import MINUTE, PARAMETER, Keep
from zuul_launcher.worker.definitions.values import VARIABLE

AGENT = "SSH_AUTH_SOCK"
_MINUTES = 3  # the library's default


def wrapper(draft: Draft, component: Component) -> None:
    _call(_WRAPPERS, draft, component)


def jjb_property(draft: Draft, component: Component) -> None:
    _call(_PROPERTIES, draft, component)


def parameter(draft: Draft, component: Component) -> None:
    """Its default counts where a build does not bring it."""
    _call(dict.fromkeys(("string", "text", "label", "bool", "choice"), _plain_parameter), draft, component)
    given = mapping(component.data)
    if component.name == "bool":
        draft.parameters[required(given, "name")] = str(truth(given, "default")).lower()
    if component.name == "choice":
        choices = entries(given.get("choices"), "choices")
        draft.parameters[required(given, "name")] = str(choices[0]) if choices else ""


def _call(table: dict[str, Callable[[Draft, Any], None]], draft: Draft, component: Component) -> None:
    if component.name not in table:
        raise Unsupported("not supported")
    table[component.name](draft, component.data)


def _plain_parameter(draft: Draft, data: Any) -> None:
    given = mapping(data)
    name = required(given, "name")
    if not PARAMETER.fullmatch(name):
        raise Unsupported(f"{name!r} can not be the name of a parameter")
    if given.get("default") is not None:
        draft.parameters[name] = text(given, "default")


def _timeout(draft: Draft, data: Any) -> None:
    given = mapping(data)
    if text(given, "type", "absolute") != "absolute":
        raise Unsupported(f"type {given['type']} is not supported, only absolute")
    refuse_others(given, ("type", "timeout", "timeout-var", "fail", "abort", "write-description"))
    minutes = number(given, "timeout", _MINUTES)
    if minutes < 1:
        raise Unsupported("timeout: expected a number of minutes")
    draft.values["timeout"] = float(minutes * MINUTE)
    draft.values["timeout_variable"] = _variable(text(given, "timeout-var")) if given.get("timeout-var") else ""
    if truth(given, "fail"):
        draft.values["timeout_result"] = "FAILURE"
    elif truth(given, "abort"):
        draft.values["timeout_result"] = "ABORTED"


def _variable(name: str) -> str:
    if not VARIABLE.fullmatch(name):
        raise Unsupported(f"{name!r} can not be the name of a variable")
    return name


def _nothing(draft: Draft, data: Any) -> None:
    """The console always has it."""


def _credentials(draft: Draft, data: Any) -> None:
    for one in entries(data, "credentials-binding"):
        for kind, arguments in mapping(one).items():
            given = mapping(arguments)
            secret = required(given, "credential-id")
            if kind in ("text", "file"):
                draft.add_credential(_variable(required(given, "variable")), secret, kind)
            elif kind == "username-password-separated":
                for part in ("username", "password"):
                    draft.add_credential(_variable(required(given, part)), secret, part)
            elif kind == "ssh-user-private-key":
                refuse_others(given, ("credential-id", "key-file-variable", "username-variable"))
                draft.add_credential(_variable(required(given, "key-file-variable")), secret, "file")
                if given.get("username-variable"):
                    draft.add_credential(_variable(text(given, "username-variable")), secret, "username")
            else:
                raise Unsupported(f"{kind} is not supported")


def _ssh_agent(draft: Draft, data: Any) -> None:
    given = mapping(data)
    refuse_others(given, ("users", "user"))
    users = given.get("users") or [required(given, "user")]
    for user in entries(users, "users"):
        draft.add_credential(AGENT, str(user), "ssh-agent")


def _config_files(draft: Draft, data: Any) -> None:
    given = mapping(data)
    refuse_others(given, ("files",))
    for one in entries(given.get("files"), "files"):
        file = mapping(one)
        refuse_others(file, ("file-id", "variable"))
        draft.add_credential(_variable(required(file, "variable")), required(file, "file-id"), "file")


def _clean_first(draft: Draft, data: Any) -> None:
    refuse_others(mapping(data), ("dirmatch", "disable-deferred-wipeout"))
    draft.values["clean_first"] = True


def _build_discarder(draft: Draft, data: Any) -> None:
    """Artifacts are kept as long as their builds."""
    given = mapping(data)
    refuse_others(given, ("days-to-keep", "num-to-keep", "artifact-days-to-keep", "artifact-num-to-keep"))
    draft.values["keep"] = kept(number(given, "days-to-keep", -1), number(given, "num-to-keep", -1))


def kept(days: int, builds: int) -> Keep:
    """-1: without end."""
    return Keep(days=days if days > 0 else None, builds=builds if builds > 0 else None)


_WRAPPERS: dict[str, Callable[[Draft, Any], None]] = {
    "timeout": _timeout,
    "timestamps": _nothing,
    "ansicolor": _nothing,
    "credentials-binding": _credentials,
    "ssh-agent-credentials": _ssh_agent,
    "config-file-provider": _config_files,
    "workspace-cleanup": _clean_first,
}
_PROPERTIES: dict[str, Callable[[Draft, Any], None]] = {"build-discarder": _build_discarder}
