"""`zuul-launcher merger`: one merger in the foreground, until TERM, INT or USR1 lets it finish the merge at hand."""

import os
import signal
import threading
from dataclasses import replace

import click

from zuul_launcher.merger.settings import MergerSettings
from zuul_launcher.merger.worker import MergerWorker


def run(settings: MergerSettings) -> None:
    """Merge until a signal says to stop; in the main thread of a process.

    :raises ConfigurationError: GIT_DIR cannot be had.
    """
    worker = MergerWorker(replace(settings, environment=settings.environment or os.environ))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda *_: stop.set())
    worker.start()
    stop.wait()
    worker.stop()


@click.command()
@click.pass_obj
def merger(settings: MergerSettings) -> None:
    """Prepare merged states of changes for builds, on behalf of a scheduler."""
    run(settings)
