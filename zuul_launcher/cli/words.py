"""What all commands share: how an error of ours ends one, and where Gearman is."""

from typing import Any

import click

from zuul_launcher.errors import ConfigurationError, ZuulLauncherError
from zuul_launcher.settings import Settings


class Misconfigured(click.ClickException):
    """A file of the site is wrong."""

    exit_code = 2


class Commands(click.Group):
    """A group whose commands end with one clear line, not with a traceback: 2 = configuration, 1 = the answer is no."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ZuulLauncherError as error:
            kind = Misconfigured if isinstance(error, ConfigurationError) else click.ClickException
            raise kind(str(error)) from error


def settings_of(context: click.Context) -> Settings:
    """The settings that the main command read; for commands that cannot do without."""
    settings = context.find_object(Settings)
    if settings is None:
        raise ConfigurationError("there is no zuul.conf: write /etc/zuul/zuul.conf, or name one with --config")
    return settings
