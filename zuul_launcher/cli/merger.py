"""`zuul-launcher merger`: one merger in the foreground, until TERM, INT or USR1 lets it finish the merge at hand."""

import os
import signal
import socket
import sys
import threading
from dataclasses import replace

import click

from zuul_launcher.cli.signals import on_signals
from zuul_launcher.cli.stacks import log_stacks
from zuul_launcher.cli.words import settings_of
from zuul_launcher.merger.settings import GitAccess, MergerSettings
from zuul_launcher.merger.worker import MergerWorker
from zuul_launcher.settings import DAY, GerritConnection, Settings, require_for

# -P: git starts it in a repository, which is no place to look for modules.
OWN_SSH = (sys.executable, "-P", "-m", "zuul_launcher.cli.gitssh")


def run(settings: MergerSettings) -> None:
    """Merge until a signal says to stop; in the main thread of a process.

    :raises ConfigurationError: GIT_DIR cannot be had.
    """
    worker = MergerWorker(replace(settings, environment=settings.environment or os.environ))
    stop = threading.Event()
    endings = dict.fromkeys((signal.SIGTERM, signal.SIGINT, signal.SIGUSR1), stop.set)
    on_signals({**endings, signal.SIGUSR2: log_stacks})
    worker.start()
    stop.wait()
    worker.stop()


def of(settings: Settings) -> MergerSettings:
    """What zuul.conf says about mergers."""
    require_for(settings, "merger")
    server, port = settings.gearman.address
    merger = settings.merger
    gerrits = [one for one in settings.connections.values() if isinstance(one, GerritConnection)]
    access = {
        one.name: GitAccess(sshkey=one.sshkey, known_hosts=one.known_hosts, host_key=one.host_key or "")
        for one in gerrits
    }
    return MergerSettings(
        git_dir=merger.git_dir,
        zuul_url=merger.zuul_url or page_url(settings),
        gearman_server=server,
        gearman_port=port,
        user_name=merger.git_user_name or MergerSettings.user_name,
        user_email=merger.git_user_email or MergerSettings.user_email,
        connections=access,
        git_timeout=merger.git_timeout,
        ref_expiry=merger.ref_expiry / DAY,
        own_ssh=OWN_SSH,
    )


def page_url(settings: Settings) -> str:
    """Where the page serves the repositories, if no other server does."""
    webapp = settings.webapp
    address = webapp.listen_address
    host = socket.getfqdn() if address in ("0.0.0.0", "::", "") else address  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{webapp.port}/p"


@click.command()
@click.pass_context
def merger(context: click.Context) -> None:
    """Prepare merged states of changes for builds, until TERM, INT or USR1 (the merge at hand is finished).

    USR2 logs what every thread does.
    """
    run(of(settings_of(context)))
