"""The path of a request, in parts. Names of jobs hold slashes, so it is split before anything is decoded."""

import os
import re
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

NUMBER = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


class BuildPath(Struct, frozen=True):
    """`/job/NAME/NUMBER/REST`."""

    job: str
    number: int
    rest: tuple[str, ...]  # ("",): the build itself, with a slash at the end; (): without it


def parts(raw: bytes) -> tuple[str, ...] | None:
    """`/a%2Fb/c` -> ("a/b", "c"). None: nothing can be there. Bytes that are no text are kept as Python keeps them in
    the names of files."""
    found = [unquote_to_bytes(part) for part in raw.removeprefix(b"/").split(b"/")]
    if any(b"\0" in part for part in found):
        return None
    return tuple(os.fsdecode(part) for part in found)


def job_name(part: str) -> str | None:
    """The name of a job, if it is text and not empty."""
    try:
        part.encode()
    except UnicodeEncodeError:
        return None
    return part or None


def build_path(found: tuple[str, ...]) -> BuildPath | None:
    """What `parts` gave for an address of a build."""
    if len(found) < 3 or found[0] != "job" or not NUMBER.fullmatch(found[2]):
        return None
    job = job_name(found[1])
    return None if job is None else BuildPath(job, int(found[2]), found[3:])


def address(part: str) -> str:
    """A name as one part of an address."""
    return quote(os.fsencode(part), safe="")


def is_file_path(names: tuple[str, ...]) -> bool:
    """May these be names of folders, one below the other, and of a file?"""
    return all(name not in (".", "..") and "/" not in name for name in names) and "" not in names[:-1]
