"""Publishers of Jenkins Job Builder -> publishers of ours, and `workspace-cleanup` -> `cleanup`."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from zuul_launcher.worker.definitions.jjbdraft import (
    Draft,
    Unsupported,
    entries,
    globs,
    mapping,
    number,
    refuse_others,
    required,
    text,
    truth,
    with_braces,
)
from zuul_launcher.worker.definitions.jjbjob import Component
from zuul_launcher.worker.definitions.jjbsteps import steps_of
from zuul_launcher.worker.definitions.job import Artifacts, Copy, CopyFiles, JUnit, Script, When
from zuul_launcher.worker.definitions.values import what_is_wrong_with_an_inner_path

# What stands for a result of Jenkins in `build-on`.
_RESULTS: dict[str, tuple[When, ...]] = {
    "SUCCESS": ("SUCCESS",),
    "UNSTABLE": ("UNSTABLE",),
    "FAILURE": ("FAILURE", "POST_FAILURE"),
    "ABORTED": ("ABORTED", "TIMED_OUT"),
    "NOT_BUILT": (),
}
_CLEAN_IF = ("success", "unstable", "failure", "aborted", "not-built")
_XUNIT_TYPES = ("junit", "phpunit")  # PHPUnit writes reports of that form
_XUNIT_IGNORED = ("requireupdate", "deleteoutput", "stoponerror")


def publisher(draft: Draft, component: Component) -> None:
    """Adds it to the draft. Raises Unsupported."""
    if component.name not in _PUBLISHERS:
        raise Unsupported("not supported")
    _PUBLISHERS[component.name](draft, component.data)


def _scp(draft: Draft, data: Any) -> None:
    given = mapping(data)
    refuse_others(given, ("site", "files"))
    site = required(given, "site")
    if draft.known and site not in draft.known.sites:
        raise Unsupported(f"there is no site {site!r} in nodes.yaml")
    files = [_files(mapping(one)) for one in entries(given.get("files"), "files")]
    draft.publishers.append(Copy(site=site, files=tuple(one for some in files for one in some)))


def _files(data: Mapping[str, Any]) -> list[CopyFiles]:
    """One entry for each pattern; the console is an entry of its own, the last."""
    refuse_others(data, ("target", "source", "keep-hierarchy", "copy-console", "copy-after-failure"))
    target = with_braces(required(data, "target")).strip("/")
    if wrong := what_is_wrong_with_an_inner_path(target):
        raise Unsupported(f"target {target!r}: {wrong}")
    hierarchy, after_failure = truth(data, "keep-hierarchy"), truth(data, "copy-after-failure")
    found = [
        CopyFiles(source=source, target=target, keep_hierarchy=hierarchy, copy_after_failure=after_failure)
        for source in globs(text(data, "source"))
    ]
    if truth(data, "copy-console"):
        found.append(CopyFiles(target=target, copy_console=True, copy_after_failure=after_failure))
    return found


def _postbuildscript(draft: Draft, data: Any) -> None:
    given = mapping(data)
    refuse_others(given, ("builders", "mark-unstable-if-failed"))
    marks: Literal["UNSTABLE", "POST_FAILURE"] = "POST_FAILURE"
    if truth(given, "mark-unstable-if-failed"):
        marks = "UNSTABLE"
    for one in entries(given.get("builders") or [], "builders"):
        script = mapping(one)
        if "build-steps" not in script:
            raise Unsupported("builders without build-steps: the form of plugin versions before 2.0 is not supported")
        refuse_others(script, ("build-steps", "build-on", "role", "execute-on"))  # the last is for matrix jobs
        if text(script, "role", "BOTH").upper() not in ("BOTH", "SLAVE"):
            raise Unsupported("role MASTER is not supported")
        steps = [step for each in draft.builders(script["build-steps"]) for step in _inner_steps(each)]
        if steps:
            draft.publishers.append(Script(steps=tuple(steps), when=_build_on(script), marks=marks))


def _inner_steps(component: Component) -> list[Any]:
    try:
        return list(steps_of(component))
    except Unsupported as error:
        raise Unsupported(f"builder {component.name}: {error}") from error


def _build_on(data: Mapping[str, Any]) -> tuple[When, ...]:
    given = data.get("build-on") or ["SUCCESS"]
    results = [str(one).upper() for one in (given if isinstance(given, list) else [given])]
    for result in results:
        if result not in _RESULTS:
            raise Unsupported(f"build-on {result} is not supported")
    if {"SUCCESS", "UNSTABLE", "FAILURE", "ABORTED"} <= set(results):
        return ("always",)
    return tuple(when for result in results for when in _RESULTS[result])


def _archive(draft: Draft, data: Any) -> None:
    given = mapping(data)
    for key in ("default-excludes", "case-sensitive"):
        if not truth(given, key, default=True):
            raise Unsupported(f"{key}: false is not supported")
    ignored = ("default-excludes", "case-sensitive", "fingerprint", "latest-only")
    refuse_others(given, ("artifacts", "excludes", "allow-empty", "only-if-success", *ignored))
    draft.publishers.append(
        Artifacts(
            paths=globs(required(given, "artifacts")),
            excludes=globs(text(given, "excludes")),
            allow_empty=truth(given, "allow-empty"),
            when=("success",) if truth(given, "only-if-success") else ("always",),
        )
    )


def _junit(draft: Draft, data: Any) -> None:
    given = mapping(data)
    ignored = ("keep-long-stdio", "health-scale-factor", "skip-publishing-checks", "test-stability", "claim-build")
    refuse_others(given, ("results", "allow-empty-results", *ignored))
    paths = globs(required(given, "results"))
    draft.publishers.append(JUnit(paths=paths, allow_empty=truth(given, "allow-empty-results")))


def _xunit(draft: Draft, data: Any) -> None:
    given = mapping(data)
    refuse_others(given, ("types", "thresholds", "thresholdmode", "test-time-margin"))
    on_failure = _thresholds(given)
    for one in entries(given.get("types"), "types"):
        for name, arguments in mapping(one).items():
            if name not in _XUNIT_TYPES:
                raise Unsupported(f"type {name} is not supported, only {' and '.join(_XUNIT_TYPES)}")
            options = mapping(arguments)
            refuse_others(options, ("pattern", "skip-if-no-test-files", *_XUNIT_IGNORED))
            allow_empty = truth(options, "skip-if-no-test-files")
            paths = globs(required(options, "pattern"))
            draft.publishers.append(JUnit(paths=paths, on_failure=on_failure, allow_empty=allow_empty))


def _thresholds(data: Mapping[str, Any]) -> Literal["unstable", "failure"]:
    """Each failed test counts; a number of them that is let pass has no translation."""
    found: Literal["unstable", "failure"] = "unstable"
    for one in entries(data.get("thresholds") or [], "thresholds"):
        for kind, limits in mapping(one).items():
            given = [name for name in mapping(limits) if text(mapping(limits), name)]
            if given and kind != "failed":
                raise Unsupported(f"thresholds of {kind} tests are not supported")
            if any(number(mapping(limits), name, 0) for name in given):
                raise Unsupported("thresholds above 0 are not supported")
            if "failure" in given or "failurenew" in given:
                found = "failure"
    return found


def _workspace_cleanup(draft: Draft, data: Any) -> None:
    given = mapping(data)
    refuse_others(given, ("clean-if", "fail-build", "dirmatch", "disable-deferred-wipeout"))
    cleaned = dict.fromkeys(_CLEAN_IF, True)
    for one in entries(given.get("clean-if") or [], "clean-if"):
        cleaned |= {name: truth(mapping(one), name) for name in mapping(one)}
    if all(cleaned[name] for name in _CLEAN_IF[:-1]):
        draft.values["cleanup"] = "always"
    elif cleaned["success"] and not any(cleaned[name] for name in _CLEAN_IF[1:-1]):
        draft.values["cleanup"] = "success"
    else:
        raise Unsupported("clean-if: only all results, and success alone, are supported")


_PUBLISHERS: dict[str, Callable[[Draft, Any], None]] = {
    "scp": _scp,
    "postbuildscript": _postbuildscript,
    "archive": _archive,
    "junit": _junit,
    "xunit": _xunit,
    "workspace-cleanup": _workspace_cleanup,
}
