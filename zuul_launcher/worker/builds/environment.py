"""The variables that the steps of a build see: which there are, who wins, and which never come from outside. Pure.

From weak to strong: of the node, of the job, parameters, what this page's table says of the build, secrets, of the
step. A parameter can be a variable only if its name is one; protected names only if the job allows them.
"""

from collections.abc import Mapping

from msgspec import Struct

from zuul_launcher.worker.builds.limits import Identity
from zuul_launcher.worker.definitions.job import PARAMETER, Job
from zuul_launcher.worker.places import build_address, job_address, page_url

LONGEST = 128 * 1024  # bytes of NAME=VALUE and its end that exec takes (MAX_ARG_STRLEN of Linux)
COOKIE = "BUILD_COOKIE"
OFFLINE = "OFFLINE_NODE_WHEN_COMPLETE"

_PROTECTED = frozenset(("PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV"))
_PROTECTED_PREFIXES = ("LD_", "DYLD_", "PYTHON")
_OURS = frozenset(
    (
        "JOB_NAME",
        "JOB_BASE_NAME",
        "BUILD_NUMBER",
        "BUILD_ID",
        "BUILD_TAG",
        "BUILD_DISPLAY_NAME",
        "BUILD_URL",
        "JOB_URL",
        "NODE_NAME",
        "NODE_LABELS",
        "EXECUTOR_NUMBER",
        "WORKSPACE",
        "WORKSPACE_TMP",
        "CI",
        "BUILD_COOKIE",
        "JENKINS_URL",
    )
)


class Facts(Struct, frozen=True, kw_only=True):
    """What is known of a build when its place is found."""

    job: str
    number: int
    node: str
    is_built_in: bool
    labels: frozenset[str]
    executor: int
    workspace: str
    temporary: str
    cookie: str


class Environment(Struct, frozen=True, kw_only=True):
    """`files`: what is too long for a variable, by its place below the temporary folder."""

    variables: Mapping[str, str]
    files: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()


def compose(
    job: Job, given: Mapping[str, str], facts: Facts, manager: Identity, node_variables: Mapping[str, str]
) -> Environment:
    """The environment of the steps, without secrets and without what a step has of its own. `given`: parameters."""
    passed = {name: text for name, text in given.items() if PARAMETER.fullmatch(name)}
    warnings = [
        f"the parameter {name!r} is no name of a variable: it stands in build.json only"
        for name in given
        if name not in passed
    ]
    refused = [name for name in passed if is_protected(name, job)]
    warnings += [f"the parameter {name} is protected and was not passed on" for name in refused]
    passed = {name: text for name, text in passed.items() if name not in refused}
    ours = {name: text for name, text in _table(facts, manager).items() if name not in passed}
    variables, files = _placed({**node_variables, **job.env, **passed, **ours}, facts.temporary)
    if job.timeout_variable and job.timeout is not None:
        variables[job.timeout_variable] = str(round(job.timeout * 1000))
    return Environment(variables=variables, files=files, warnings=tuple(warnings))


def is_protected(name: str, job: Job) -> bool:
    """Whether a parameter of this name never reaches a step."""
    is_known = name in _PROTECTED or name in _OURS or name.startswith(_PROTECTED_PREFIXES)
    return is_known and (name == COOKIE or name not in job.allow_params)


def problem(texts: Mapping[str, str]) -> str | None:
    """Why no step can run with these parameters."""
    for name, text in texts.items():
        if "\0" in text:
            return f"the parameter {name!r} holds a NUL, which no variable can"
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return f"the parameter {name!r} holds half a character (a lone surrogate)"
    return None


def _table(facts: Facts, manager: Identity) -> dict[str, str]:
    found = {
        "JOB_NAME": facts.job,
        "JOB_BASE_NAME": facts.job.rpartition("/")[2],
        "BUILD_NUMBER": str(facts.number),
        "BUILD_ID": str(facts.number),
        "BUILD_TAG": f"jenkins-{facts.job}-{facts.number}".replace("/", "-"),
        "BUILD_DISPLAY_NAME": f"#{facts.number}",
        "BUILD_URL": page_url(manager.root_url, build_address(facts.job, facts.number)),
        "JOB_URL": page_url(manager.root_url, job_address(facts.job)),
        "NODE_NAME": "master" if facts.is_built_in else facts.node,
        "NODE_LABELS": " ".join(sorted(facts.labels)),
        "EXECUTOR_NUMBER": str(facts.executor),
        "WORKSPACE": facts.workspace,
        "WORKSPACE_TMP": facts.temporary,
        "CI": "true",
        COOKIE: facts.cookie,
        "JENKINS_URL": page_url(manager.root_url, "") if manager.jenkins_compat else None,
    }
    return {name: text for name, text in found.items() if text is not None}


def _placed(variables: Mapping[str, str], temporary: str) -> tuple[dict[str, str], dict[str, str]]:
    """What exec takes, and what goes into files instead: NAME_FILE says where."""
    fit: dict[str, str] = {}
    files: dict[str, str] = {}
    for name, text in variables.items():
        if len(name) + len(text) < LONGEST // 4 or len(f"{name}={text}".encode(errors="replace")) < LONGEST:
            fit[name] = text
        else:
            files[f"params/{name}"] = text
    return {**fit, **{f"{place[len('params/') :]}_FILE": f"{temporary}/{place}" for place in files}}, files
