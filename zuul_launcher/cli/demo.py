"""`zuul-launcher demo`: the main job on this machine, visible. Exit codes: 0 all came as told, 1 it did not."""

import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from zuul_launcher import log
from zuul_launcher.sim.demo_outcome import differences, ending
from zuul_launcher.sim.demo_play import play
from zuul_launcher.sim.demo_show import display_on, final_table, summary
from zuul_launcher.sim.demo_stage import Stage, open_stage, watched
from zuul_launcher.sim.gerrit.fetch import CannotFetch, is_complete
from zuul_launcher.sim.site import free_port

GIT_NEEDED = (2, 38)
INSTALLED = Path(__file__).parents[2] / ".services" / "gerrit"  # of a checkout, after `make services`
PLAIN_WIDTH = 160
LOOK_SECONDS = 0.5  # a signal that the kernel gives to another thread is heard when the main one does something
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Nothing of the user's own settings counts, and nothing goes through the user's proxy.
ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "no_proxy": "127.0.0.1,localhost"}


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running at the end, until Ctrl-C.")
@click.option(
    "--gerrit", type=click.Choice(["stand-in", "real"]), default="stand-in", show_default=True, help="Which Gerrit."
)
def demo(keep: bool, gerrit: str) -> None:
    """Show the gate at work: three projects, eleven changes, all on this machine, in about a minute."""
    require_git()
    if gerrit == "real":
        require("ssh", "java", *(() if is_complete(INSTALLED) else ("mvn", "javac")))
    os.environ.update(ENVIRONMENT)
    for number in ENDING:
        signal.signal(number, _interrupt)
    port, worker_port = free_port(), free_port()
    click.echo(
        "Three projects that share a queue, eleven changes: check, then gate. One fails its build, one conflicts, one "
        "depends on another project's change, one gets a new patch set while it is built.\n"
        f"The page: http://127.0.0.1:{port}/ (open it in a browser while this runs)\n"
        f"Builds and their consoles: http://127.0.0.1:{worker_port}/"
    )
    with scratch_folder() as folder:
        _log_to(folder / "demo.log")
        files = INSTALLED if is_complete(INSTALLED) else folder / "gerrit-files"
        try:
            with open_stage(folder, files if gerrit == "real" else None, port, worker_port) as stage:
                _perform(stage, keep=keep)
        except (CannotFetch, TimeoutError, RuntimeError) as error:
            raise click.ClickException(str(error)) from error


def _interrupt(*_: object) -> None:
    """The first time; after that nothing disturbs the tidying up."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _perform(stage: Stage, *, keep: bool) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    began = time.monotonic()
    heading = f"In a browser: {stage.site.url}/, consoles: {stage.site.worker_url}/"
    with display_on(console, heading) as display, watched(stage, display):
        changes = play(stage, display)
    end = ending(stage, changes)
    console.print(final_table(end))
    for line in [*summary(end), f"It took {time.monotonic() - began:.0f} s."]:
        click.echo(line)
    found = differences(end)
    for line in found:
        click.echo(f"NOT AS EXPECTED: {line}")
    if keep:
        _keep(stage, {change.planned.outcome: change.id for change in end.results})
    else:
        click.echo("With --keep all of it, pages and consoles too, is there until Ctrl-C.")
    if found:
        raise click.ClickException("it did not come out as expected")


def _keep(stage: Stage, ids: Mapping[str, str]) -> None:
    """Until Ctrl-C, TERM or HUP. ids: of one change for each outcome."""
    command = shlex.join([str(Path(sys.argv[0]).absolute()), "--config", str(stage.site.config)])
    click.echo(
        f"\nAll of it goes on.\nThe page: {stage.site.url}/\n"
        f"Builds and their consoles: {stage.site.worker_url}/\nThe folder: {stage.folder}\n"
        "Try these in another terminal:\n"
        f"  {command} show running-jobs\n"
        f"  {command} worker builds\n"
        f"  {command} enqueue --trigger gerrit --pipeline check --project app --change {ids['failed']}\n"
        f"  {command} enqueue --trigger gerrit --pipeline gate --project app --change {ids['conflict']}\n"
        "Press Ctrl-C to end everything and to remove the folder."
    )
    try:
        while True:
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        click.echo("ending")


def require_git() -> None:
    """Raises ClickException without a git that merges as we need it."""
    if not shutil.which("git"):
        raise click.ClickException("git is missing: install version 2.38 or newer")
    told = subprocess.run(["git", "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", told)
    if not found or (int(found[1]), int(found[2])) < GIT_NEEDED:
        raise click.ClickException(f"git 2.38 or newer is needed; this is {told.strip() or 'none'}")


def require(*programs: str) -> None:
    """Raises ClickException for the first that is missing."""
    for program in programs:
        if not shutil.which(program):
            raise click.ClickException(f"{program} is missing: `make services` installs what a real Gerrit needs")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder, which is removed at the end; after an error only the logs and the configuration stay."""
    folder = Path(tempfile.mkdtemp(prefix="zuul-launcher-demo-"))
    try:
        yield folder
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        raise
    except BaseException:
        for path in folder.glob("gerrit/daemon.log"):
            path.rename(folder / "gerrit.log")
        for path in filter(Path.is_dir, folder.iterdir()):
            shutil.rmtree(path)
        click.echo(f"The logs are kept in {folder}", err=True)
        raise
    shutil.rmtree(folder)


def _log_to(path: Path) -> None:
    """Not to the terminal, where the table is."""
    handler = logging.FileHandler(path)
    handler.setFormatter(log.LineFormatter(log.FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
