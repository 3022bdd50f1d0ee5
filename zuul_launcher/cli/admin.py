"""What administrators ask a running scheduler for, over Gearman as in v2."""

import json
from typing import Any

import click

from zuul_launcher.cli.show import COLUMNS_OF_V2, make_show
from zuul_launcher.cli.words import settings_of
from zuul_launcher.gearman.rpc import request
from zuul_launcher.model.change import ZERO_REVISION


def ask(context: click.Context, function: str, arguments: dict[str, Any]) -> bytes:
    """The scheduler's data. Raises RequestError, RemoteUnavailable."""
    server, port = settings_of(context).gearman.address
    return request(server, port, function, {key: value for key, value in arguments.items() if value is not None})


def _do(context: click.Context, function: str, **arguments: Any) -> None:
    note = ask(context, function, arguments).decode(errors="replace")
    if note:
        click.echo(note, err=True)


@click.command()
@click.option("--trigger", required=True, help="Name of a trigger, mostly that of the Gerrit connection.")
@click.option("--pipeline", required=True)
@click.option("--project", required=True)
@click.option("--change", required=True, metavar="N,P", help="Number and patch set.")
@click.pass_context
def enqueue(context: click.Context, trigger: str, pipeline: str, project: str, change: str) -> None:
    """Put a change into a pipeline as if an event had; the pipeline's requirements are not checked."""
    _do(context, "zuul:enqueue", trigger=trigger, pipeline=pipeline, project=project, change=change)


@click.command("enqueue-ref")
@click.option("--trigger", required=True, help="Name of a trigger, mostly that of the Gerrit connection.")
@click.option("--pipeline", required=True)
@click.option("--project", required=True)
@click.option("--ref", required=True, help="As the pipeline's events name it, e.g. refs/heads/main.")
@click.option("--oldrev", default=ZERO_REVISION, help="Revision before. [default: 40 zeros]")
@click.option("--newrev", default=ZERO_REVISION, help="Revision after. [default: 40 zeros]")
@click.pass_context
def enqueue_ref(
    context: click.Context, trigger: str, pipeline: str, project: str, ref: str, oldrev: str, newrev: str
) -> None:
    """Put an update of a ref into a pipeline as if an event had."""
    if oldrev == newrev:
        raise click.UsageError("The old and new revisions must not be the same.")
    _do(
        context,
        "zuul:enqueue_ref",
        trigger=trigger,
        pipeline=pipeline,
        project=project,
        ref=ref,
        oldrev=oldrev,
        newrev=newrev,
    )


@click.command()
@click.option("--pipeline", required=True)
@click.option("--project", required=True)
@click.option("--change", metavar="N,P", help="Number and patch set.")
@click.option("--ref", help="The ref, if it is no change.")
@click.pass_context
def dequeue(context: click.Context, pipeline: str, project: str, change: str | None, ref: str | None) -> None:
    """Take a change out of a pipeline; its builds end, and nothing is reported."""
    if (change is None) == (ref is None):
        raise click.UsageError("Name either --change or --ref.")
    _do(context, "zuul:dequeue", pipeline=pipeline, project=project, change=change, ref=ref)


@click.command()
@click.option("--pipeline", required=True)
@click.option("--changes", required=True, multiple=True, metavar="N,P", help="First in the queue; several are allowed.")
@click.argument("more", nargs=-1, metavar="[N,P ...]")
@click.pass_context
def promote(context: click.Context, pipeline: str, changes: tuple[str, ...], more: tuple[str, ...]) -> None:
    """Put changes at the head of their queue, in the order given. The builds of the whole queue begin again."""
    _do(context, "zuul:promote", pipeline=pipeline, change_ids=[*changes, *more])


def _running_jobs() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ask(click.get_current_context(), "zuul:get_running_jobs", {}))
    return found


show = make_show(_running_jobs)
show_of_v2 = make_show(_running_jobs, default=COLUMNS_OF_V2)
