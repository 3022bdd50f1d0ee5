"""Where log records go: to stderr, one line each, or where the site's own file says.

Much of what is logged was written by strangers (names of branches, messages of remote systems): none of it may look
like another record or steer a terminal, so control characters are shown as escapes.
"""

import logging
import logging.config
from pathlib import Path

from zuul_launcher.errors import ConfigurationError

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TALKATIVE = ("alembic", "gear", "paramiko")  # their "info" is our "debug"


class LineFormatter(logging.Formatter):
    """One line a record; the lines of a traceback follow it, each with a mark in front."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return visible(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        return _marked(super().formatException(ei))  # type: ignore[arg-type]  # its type has no public name

    def formatStack(self, stack_info: str) -> str:
        return _marked(super().formatStack(stack_info))


def visible(text: str) -> str:
    """`text` as one line: what a terminal or a reader of lines could take for a command is written as an escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _marked(text: str) -> str:
    return "\n".join("  | " + visible(line) for line in text.split("\n"))


def set_up(log_config: Path | None = None, *, verbose: bool = False, quiet: bool = False) -> None:
    """Send the records of this process to stderr, or where `log_config` (of `logging.config.fileConfig`) says.

    `quiet`: only warnings and errors, unless verbose.

    :raises ConfigurationError: the file is missing, or wrong.
    """
    if log_config is not None:
        _read(log_config)
        if verbose:
            logging.getLogger().setLevel(logging.DEBUG)
        return
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(FORMAT))
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET if verbose else logging.WARNING)


def _read(path: Path) -> None:
    try:
        path.read_bytes()
        logging.config.fileConfig(path, disable_existing_loggers=False, encoding="utf-8")
    except OSError as error:
        named = error.filename or path
        raise ConfigurationError(f"{path}: {named}: {error.strerror}: correct [zuul] log_config or the file") from error
    except Exception as error:  # its values are evaluated as Python: anything may be raised
        message = f"{path}: this is no logging configuration of Python's fileConfig form: {error!r}"
        raise ConfigurationError(message) from error
