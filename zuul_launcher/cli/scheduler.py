"""`zuul-launcher scheduler`: the gate itself, in the foreground, with the page."""

import os
import signal
import subprocess
import sys

import click

from zuul_launcher.cli.signals import on_signals
from zuul_launcher.cli.stacks import log_stacks
from zuul_launcher.cli.words import settings_of
from zuul_launcher.metrics import statsd_of
from zuul_launcher.service.app import Scheduler
from zuul_launcher.settings import Settings, require_for


def run(settings: Settings, *, with_gearman: bool = True) -> None:
    """Until a signal says to stop; in the main thread of a process."""
    require_for(settings, "scheduler")
    scheduler = Scheduler(settings, statsd=statsd_of(os.environ))
    on_signals(
        {
            signal.SIGTERM: scheduler.stop,
            signal.SIGINT: scheduler.stop,
            signal.SIGUSR1: scheduler.leave_when_idle,
            signal.SIGHUP: scheduler.reload,
            signal.SIGUSR2: log_stacks,
        }
    )
    wanted = with_gearman and settings.gearman_server.start
    scheduler.run(begin=lambda: start_gearman(settings) if wanted else None)


def start_gearman(settings: Settings) -> None:
    """As a process of its own, which goes on when the scheduler does not: jobs in it are not lost. If one is there
    already, the new one cannot have the port, says so and ends."""
    server = settings.gearman_server
    command = [sys.executable, "-m", "zuul_launcher.cli.main", "--config", str(settings.file), "gearman"]
    command += ["--port", str(int(server.port))]
    if server.listen_address:
        command += ["--listen", server.listen_address]
    subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


@click.command()
@click.option("--without-gearman", is_flag=True, help="Even if [gearman_server] says so, start no Gearman server.")
@click.pass_context
def scheduler(context: click.Context, without_gearman: bool) -> None:
    """Run the scheduler and its page, until TERM (leave; builds go on), or USR1 (wait for running builds first).

    HUP reads the layout again, USR2 logs what every thread does.
    """
    run(settings_of(context), with_gearman=not without_gearman)
