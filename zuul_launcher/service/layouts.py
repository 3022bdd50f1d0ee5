"""The site's layout from its file; and at a start, whether there is another one to go on with if the file is wrong."""

import logging
from pathlib import Path

from msgspec import Struct
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from zuul_launcher.db import engine as database
from zuul_launcher.db import journal
from zuul_launcher.errors import ConfigurationError, RemoteUnavailable
from zuul_launcher.layout.load import content_hash, load
from zuul_launcher.model.layout import Layout
from zuul_launcher.settings import Settings
from zuul_launcher.yamlfile.problems import FileErrors

log = logging.getLogger("zuul_launcher.layout")


class Read(Struct, frozen=True):
    """A layout that is right, and the hash of its content."""

    layout: Layout
    hash: str


def read(settings: Settings) -> Read:
    """Raises FileErrors with all mistakes."""
    loaded = load(settings.zuul.layout, settings.drivers)
    for warning in loaded.warnings:
        log.warning("%s", warning)
    return Read(loaded.layout, content_hash(loaded.layout))


def read_first(settings: Settings) -> Read | FileErrors:
    """For a start: the mistakes, if the database holds a layout to start with. Raises FileErrors if it does not."""
    try:
        return read(settings)
    except FileErrors as error:
        if not is_stored(settings.database.dburi):
            raise
        return error


def problems_of(error: ConfigurationError) -> tuple[str, ...]:
    """A line each."""
    return tuple(str(error).splitlines())


def is_stored(dburi: str) -> bool:
    """Does the database hold a layout that a scheduler went by? Looks once: False if the database is away."""
    try:
        url = make_url(dburi)
    except ArgumentError:
        return False  # told by who opens it
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).exists()):
        return False  # looking would make it
    try:
        engine = database.connect(dburi)
    except RemoteUnavailable as error:
        log.warning("%s: whether it holds a layout is not known", error)
        return False
    try:
        return journal.has_layout(engine)
    except RemoteUnavailable:
        return False
    finally:
        engine.dispose()
