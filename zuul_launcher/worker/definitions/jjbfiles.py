"""Files of Jenkins Job Builder -> jobs, expanded by its library: projects, templates, groups, macros, includes.

The only file that knows the library `jenkins-job-builder`; to be imported when such files are read, not before. The
library's registry, which needs all of its plugins, is not used: macros are dispatched here, by its rules, until every
component is a plain one. Names of Python in YAML are refused; what Jinja templates say is run.
"""

import dataclasses
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jenkins_jobs.config import JJBConfig  # type: ignore[import-untyped]
from jenkins_jobs.constants import MAGIC_MANAGE_STRING  # type: ignore[import-untyped]
from jenkins_jobs.errors import JenkinsJobsException  # type: ignore[import-untyped]
from jenkins_jobs.expander import Expander  # type: ignore[import-untyped]
from jenkins_jobs.loader import Loader, enum_expanded_paths  # type: ignore[import-untyped]
from jenkins_jobs.loc_loader import LocDict, LocList, LocString  # type: ignore[import-untyped]
from jenkins_jobs.macro import Macro, macro_specs  # type: ignore[import-untyped]
from jenkins_jobs.modules.zuul import Zuul  # type: ignore[import-untyped]
from jenkins_jobs.roots import Roots, root_adders  # type: ignore[import-untyped]
from jenkins_jobs.yaml_objects import (  # type: ignore[import-untyped]
    IncludeRawExpand,
    IncludeRawVerbatim,
    YamlInclude,
)
from msgspec import Struct
from yaml import MarkedYAMLError
from yaml.constructor import ConstructorError

from zuul_launcher.worker.definitions.jjbjob import Component, Expand, ExpandedJob, ExpansionError
from zuul_launcher.worker.definitions.job import Place
from zuul_launcher.yamlfile.problems import FileErrors, Problem

# Component lists of a job, by the kind of their macros: {"builder": "builders", ...}.
KINDS: dict[str, str] = dict(macro_specs)
OLD_DIALECT = 4

_PYTHON = "tag:yaml.org,2002:python/"
_INCLUDES = {
    "!include": YamlInclude,
    "!include-raw": IncludeRawExpand,
    "!include-raw:": IncludeRawExpand,
    "!include-raw-escape": IncludeRawVerbatim,
    "!include-raw-escape:": IncludeRawVerbatim,
}


class JJBFiles(Struct, frozen=True):
    jobs: tuple[ExpandedJob, ...]
    refused: tuple[Problem, ...]  # of jobs and projects that can not be expanded
    expand_builders: Expand  # a list of builders inside of a component; raises ExpansionError


def read_jjb_files(path: Path, dialect: int) -> JJBFiles:
    """A file, or the files of a folder. `dialect`: 4 or 6, the version of the library that they were written for.

    Raises FileErrors if they can not be read as a whole.
    """
    with _quiet():
        config = JJBConfig(os.devnull)
        config.yamlparser["keep_descriptions"] = True
        roots = Roots(config)
        _load(config, roots, path, dialect)
        if dialect <= OLD_DIALECT:
            _take_as_before(config, roots)
        dispatch = _Dispatch(roots.macros)
        return _expanded(roots, dispatch)


@contextmanager
def _quiet() -> Iterator[None]:
    """The library warns of what it finds old, and logs what it raises, too."""
    logger = logging.getLogger("jenkins_jobs")
    silence = logging.NullHandler()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(silence)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(silence)
        logger.propagate = propagate


class _PlainLoader(Loader):  # type: ignore[misc]
    """Without objects of Python, and without the library's cache, which would keep every file that was ever read."""

    def _with_stream(self, stream: Any, source_path: Any, source_dir: Any) -> "_PlainLoader":
        return _PlainLoader(stream, self.jjb_config, source_path, source_dir, self.anchors)

    def load_path(self, path: Path) -> Any:
        return self.load(path.read_text("utf-8"), source_path=path, source_dir=path.parent)

    def refuse(self, suffix: str, node: Any) -> None:
        raise ConstructorError(None, None, f"tag !!python/{suffix} is not allowed", node.start_mark)


for _table in ("yaml_constructors", "yaml_multi_constructors"):
    _kept = {tag: one for tag, one in getattr(Loader, _table).items() if not str(tag).startswith(_PYTHON)}
    setattr(_PlainLoader, _table, _kept)
_PlainLoader.add_multi_constructor(_PYTHON, _PlainLoader.refuse)
for _tag, _class in _INCLUDES.items():
    _PlainLoader.add_constructor(_tag, _class.from_yaml)


def _load(config: Any, roots: Any, path: Path, dialect: int) -> None:
    problems: list[Problem] = []
    loader = _PlainLoader.empty(config)
    try:
        files = list(enum_expanded_paths([path]))
    except OSError as error:
        raise FileErrors((_problem(path, error),)) from error
    for file in files:
        try:
            _add(config, roots, loader.load_path(file), dialect)
        except Exception as error:  # of a library that takes what it reads for granted
            problems.append(_problem(file, error))
    if problems:
        raise FileErrors(tuple(problems))


def _add(config: Any, roots: Any, data: Any, dialect: int) -> None:
    """What one file defines."""
    if data is None:
        return
    if not isinstance(data, LocList):
        raise JenkinsJobsException("expected a list", pos=getattr(data, "pos", None))
    for position, item in zip(data.value_pos, data, strict=True):
        if not isinstance(item, LocDict) or len(item) != 1:
            raise JenkinsJobsException("expected a dictionary of one key: is it indented?", pos=position)
        ((kind, contents),) = item.items()
        if kind.startswith("_") or (dialect <= OLD_DIALECT and kind not in root_adders):
            continue
        if kind not in root_adders:
            raise JenkinsJobsException(f"{kind!r} is not known, only {', '.join(root_adders)}", pos=position)
        if hasattr(contents, "expand"):
            contents = contents.expand(Expander(config), params={})
        if not isinstance(contents, LocDict):
            raise JenkinsJobsException(f"{kind}: expected a dictionary", pos=position)
        root_adders[kind](config, roots, contents, item.pos)


def _take_as_before(config: Any, roots: Any) -> None:
    """Before version 5 braces meant something in templates, and in macros that are called with arguments; not in jobs
    and in other macros."""
    plain = _PlainExpander(config)
    for job in roots.jobs.values():
        job._expander = plain
    for macros in roots.macros.values():
        for name, macro in macros.items():
            macros[name] = _OldMacro(**{one.name: getattr(macro, one.name) for one in dataclasses.fields(macro)})
            macros[name].plain = plain


class _PlainExpander(Expander):  # type: ignore[misc]
    """Includes files, and leaves texts as they are."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for kind in (str, LocString):
            self.expanders[kind] = lambda text, params, key_pos, value_pos: str(text)
        self.expanders[IncludeRawExpand] = lambda one, params, key_pos, value_pos: _raw(one, params)
        # As it was: doubled braces, for a template that makes them single again.
        self.expanders[IncludeRawVerbatim] = lambda one, params, key_pos, value_pos: (
            _raw(one, params).replace("{", "{{").replace("}", "}}")
        )


def _raw(include: Any, params: Any) -> str:
    """The text of what is included, whatever its braces are."""
    paths = zip(include._path_list, include._path_list.value_pos, strict=True)
    return "\n".join(
        include._find_file(include._formatter.format(path, **params), position).read_text("utf-8")
        for path, position in paths
    )


class _OldMacro(Macro):  # type: ignore[misc]
    plain: Any

    def dispatch_elements(
        self, registry: Any, xml_parent: Any, component_data: Any, job_data: Any, params: Any
    ) -> None:
        macro = dataclasses.replace(self, _expander=self._expander if component_data else self.plain)
        super(_OldMacro, macro).dispatch_elements(registry, xml_parent, component_data, job_data, params)


class _Dispatch:
    """In the place of the library's registry: macros call `dispatch` with what they expand to."""

    def __init__(self, macros: dict[str, dict[str, Any]]) -> None:
        self.macros = macros

    def components(self, kind: str, elements: Any, job: Any = None) -> tuple[Component, ...]:
        found: list[Component] = []
        for element in elements or ():
            self.dispatch(kind, found, element, job_data=job)
        return tuple(found)

    def dispatch(
        self, kind: str, found: list[Component], element: Any, outer: Any = None, job_data: Any = None
    ) -> None:
        """Adds the plain components of an element: a name, or a dictionary of one name and its arguments."""
        if isinstance(element, dict):
            name, data = next(iter(element.items()))
        else:
            name, data = element, {}
        macro = self.macros.get(kind, {}).get(name)
        if macro is None:
            found.append(Component(kind, str(name), data))
            return
        arguments = data or {}
        macro.dispatch_elements(self, found, arguments, job_data, {**arguments, **(job_data or {})})


def _expanded(roots: Any, dispatch: _Dispatch) -> JJBFiles:
    jobs: dict[str, ExpandedJob] = {}
    refused: list[Problem] = []
    for root, expand in _roots(roots):
        try:
            items = list(expand())
        except Exception as error:
            refused.append(_refused(_problem(Path(str(root.pos.path)), error, root.pos), str(root)))
            continue
        for item in items:
            place = _place(item.data.pos)
            try:
                job = _expanded_job(item.data, place, dispatch)
            except Exception as error:
                one = _problem(Path(place.file), error, item.data.pos)
                refused.append(_refused(one, f"job {str(item.data.get('name'))!r}"))
                continue
            if job.name in jobs:
                first = jobs[job.name].place
                message, hint = "a second job of this name", f"the first is in {first.file}:{first.line}"
                refused.append(
                    _refused(Problem(place.file, place.line, place.column, message, hint), f"job {job.name!r}")
                )
            else:
                jobs[job.name] = job

    def expand_builders(elements: Any) -> tuple[Component, ...]:
        try:
            with _quiet():
                return dispatch.components("builder", elements)
        except Exception as error:
            raise ExpansionError(_message(error)) from error

    return JJBFiles(tuple(jobs.values()), tuple(refused), expand_builders)


def _roots(roots: Any) -> Iterator[tuple[Any, Callable[[], Any]]]:
    for job in roots.jobs.values():
        yield job, job.top_level_generate_items
    for project in roots.projects.values():
        yield project, project.generate_jobs


def _expanded_job(data: Any, place: Place, dispatch: _Dispatch) -> ExpandedJob:
    while Zuul(None).amend_job_dict(data):  # declares the parameters of Zuul in the place of its triggers
        pass
    components = [dispatch.components(kind, data.get(key), data) for kind, key in KINDS.items()]
    keys = {key: value for key, value in data.items() if key not in KINDS.values()}
    if isinstance(keys.get("description"), str):
        keys["description"] = keys["description"].removesuffix(MAGIC_MANAGE_STRING)
    return ExpandedJob(str(data["name"]), place, keys, tuple(one for found in components for one in found))


def _refused(problem: Problem, what: str) -> Problem:
    message = f"{what} is not registered: {problem.message}"
    return Problem(problem.file, problem.line, problem.column, message, problem.hint)


def _place(position: Any) -> Place:
    return Place(str(position.path), position.line + 1, position.column + 1) if position else Place()


def _problem(file: Path, error: Exception, position: Any = None) -> Problem:
    mark = error.problem_mark or error.context_mark if isinstance(error, MarkedYAMLError) else None
    position = getattr(error, "pos", None) or position
    if mark is not None:
        return Problem(str(file), mark.line + 1, mark.column + 1, _message(error))
    place = _place(position) if position else Place(str(file))
    return Problem(place.file, place.line, place.column, _message(error))


def _message(error: Exception) -> str:
    """One line of what the library says."""
    if isinstance(error, MarkedYAMLError):
        text = ": ".join(part for part in (error.context, error.problem) if part)
    elif isinstance(error, JenkinsJobsException):
        text = str(error.message)
    elif isinstance(error, OSError):
        text = f"the file can not be read: {error.strerror}"
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())
