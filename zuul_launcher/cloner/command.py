"""`zuul-cloner`, as Zuul v2 has it: for jobs, which tell it by ZUUL_… variables what they are to test.

Exit codes: 0 done, 1 a project cannot be had, 2 wrong usage or a wrong clone map.
"""

import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from zuul_launcher import VERSION
from zuul_launcher.cloner.attempts import Request
from zuul_launcher.cloner.clone import check_request, clone_all
from zuul_launcher.cloner.clonemap import destinations, read_rules
from zuul_launcher.cloner.environment import git_environment
from zuul_launcher.cloner.repository import hide_password
from zuul_launcher.errors import ConfigurationError, RequestError, ZuulLauncherError
from zuul_launcher.git import Git
from zuul_launcher.log import FORMAT, LineFormatter, set_up, visible

DEADLINE = 3600.0  # seconds for one git command; the first clone of a large project takes its time
_COLORS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.DEBUG: "cyan"}


class _Misconfigured(click.ClickException):
    exit_code = 2


class _Colored(LineFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return click.style(super().format(record), fg=_COLORS.get(record.levelno, "green"))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("base_url", metavar="GIT_BASE_URL")
@click.argument("projects", metavar="PROJECT...", nargs=-1, required=True)
@click.option("-m", "--map", "clone_map", type=click.Path(path_type=Path), help="Clone map: where projects go.")
@click.option("--workspace", type=click.Path(path_type=Path), help="Where to clone to.  [default: here]")
@click.option(
    "--cache-dir",
    envvar="ZUUL_CACHE_DIR",
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="Repositories to clone from first, which saves time; they are not needed later.",
)
@click.option("--branch", default="", help="Branch to check out instead of the Zuul branch.")
@click.option(
    "--project-branch", "project_branches", metavar="PROJECT=BRANCH", multiple=True, help="The same for one project."
)
@click.option("--zuul-branch", envvar="ZUUL_BRANCH", show_envvar=True, default="", help="Branch of the change.")
@click.option("--zuul-ref", envvar="ZUUL_REF", show_envvar=True, default="", help="Ref to test.")
@click.option("--zuul-url", envvar="ZUUL_URL", show_envvar=True, default="", help="Where the merger's refs are.")
@click.option("--zuul-project", envvar="ZUUL_PROJECT", show_envvar=True, default="", help="Project of the change.")
@click.option("--zuul-newrev", envvar="ZUUL_NEWREV", show_envvar=True, default="", help="Commit of an updated ref.")
@click.option("-v", "--verbose", is_flag=True, help="Log everything.")
@click.option("--color", is_flag=True, help="Log in colors.")
@click.version_option(VERSION, message="Zuul version: %(version)s")
def main(
    base_url: str,
    projects: tuple[str, ...],
    clone_map: Path | None,
    workspace: Path | None,
    cache_dir: Path | None,
    project_branches: tuple[str, ...],
    verbose: bool,
    color: bool,
    **zuul: str,
) -> None:
    """Clone each PROJECT of GIT_BASE_URL and check out what Zuul wants to be tested."""
    set_up(verbose=verbose)
    if color:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(_Colored(FORMAT))
    zuul["zuul_url"] = _checked_url(zuul["zuul_url"])
    request = Request(_checked_url(base_url), project_branches=_by_project(project_branches), **zuul)
    git = Git(git_environment(os.environ), DEADLINE)
    _check_usage(request, git)
    try:
        places = destinations(projects, read_rules(clone_map) if clone_map else [])
        with _children_end_with_us():
            clone_all(request, places, (workspace or Path()).absolute(), cache_dir, git)
    except (ZuulLauncherError, OSError) as error:
        kind = _Misconfigured if isinstance(error, ConfigurationError) else click.ClickException
        raise kind(visible(hide_password(str(error)))) from error


def _check_usage(request: Request, git: Git) -> None:
    if request.zuul_ref and not request.zuul_url:
        raise click.UsageError("a Zuul ref needs a Zuul URL: give --zuul-url or ZUUL_URL")
    if request.zuul_newrev and not request.zuul_project:
        raise click.UsageError("a Zuul newrev needs a Zuul project: give --zuul-project or ZUUL_PROJECT")
    if request.zuul_newrev and not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", request.zuul_newrev):
        raise click.UsageError(f"the Zuul newrev {request.zuul_newrev!a} is no commit id of 40 hex digits")
    try:
        check_request(request, git)
    except RequestError as error:
        raise click.UsageError(str(error)) from error


def _by_project(entries: tuple[str, ...]) -> dict[str, str]:
    branches = {}
    for entry in entries:
        project, _, branch = entry.partition("=")
        if not project or not branch:
            raise click.UsageError(f"--project-branch {entry!a} is not of the form PROJECT=BRANCH")
        branches[project] = branch
    return branches


def _checked_url(url: str) -> str:
    if url.startswith("-") or not url.isprintable():
        raise click.UsageError(f"{hide_password(url)!a} is not a URL that git could fetch from")
    # Git commands run in the clones: a path is meant from here.
    return str(Path(url).absolute()) if url and Path(url).is_dir() else url


@contextmanager
def _children_end_with_us() -> Iterator[None]:
    """Leave by an exception when a job is canceled: git, which has a process group of its own, is ended then."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main()
