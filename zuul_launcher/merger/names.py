"""Names from outside are checked here before git or the file system sees them.

A name is refused with `RequestError`, never repaired. The rules of refs are those of git-check-ref-format(1); the rules
of projects keep every repository below GIT_DIR and out of git's own files.
"""

import re
from urllib.parse import urlsplit

from zuul_launcher.errors import RequestError

_LONGEST_PART = 255  # bytes; what file systems allow
_LONGEST_NAME = 1024
_FORBIDDEN_IN_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_FORBIDDEN_IN_PROJECTS = re.compile(r"[\x00-\x1f\x7f\\]")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}")

PRIVATE_FOLDER = ".zuul-launcher"
"""The merger's own folder below GIT_DIR; no project may have this name."""


def check_project(name: str) -> str:
    """The name, if a repository of that name may be kept below GIT_DIR; RequestError otherwise."""
    parts = name.split("/")
    if not name or _too_long(name) or _FORBIDDEN_IN_PROJECTS.search(name):
        raise RequestError(f"project name {_shown(name)} is refused: it is empty, too long or has unusual characters")
    for part in parts:
        if part in ("", ".", "..") or part.startswith("-") or part.lower().endswith(".git"):
            raise RequestError(f"project name {_shown(name)} is refused: {_shown(part)} cannot be a part of it")
    if parts[0] == PRIVATE_FOLDER:
        raise RequestError(f"project name {_shown(name)} is refused: the merger keeps its own files there")
    return name


def check_ref(name: str) -> str:
    """The name, if git takes it as a full ref name ("refs/…"); RequestError otherwise."""
    parts = name.split("/")
    if (
        not name.startswith("refs/")
        or _too_long(name)
        or _FORBIDDEN_IN_REFS.search(name)
        or name.endswith(("/", "."))
        or any(part.startswith(".") or part.endswith(".lock") for part in parts)
    ):
        raise RequestError(f"{_shown(name)} is not a name that git allows for a ref")
    return name


def check_branch(name: str) -> str:
    """The branch's short name, if it is one; RequestError otherwise.

    Names that begin with "refs/" are refused too: git would find such a branch when asked for the ref of that name.
    """
    if name.startswith(("refs/", "-")) or name == "@":
        raise RequestError(f"{_shown(name)} is not a name that is allowed for a branch")
    check_ref(f"refs/heads/{name}")
    return name


def zuul_ref(branch: str, name: str) -> str:
    """The full name under which a merged state is published: refs/zuul/BRANCH/Zhex."""
    if "/" in name or not name:
        raise RequestError(f"{_shown(name)} is not a name that is allowed for a merged state")
    return check_ref(f"refs/zuul/{check_branch(branch)}/{name}")


def check_url(url: str, allow_file: bool = False) -> str:
    """The URL, if git may fetch from it: ssh, https or http with a host; RequestError otherwise."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        user = parts.username or ""
    except ValueError:
        raise RequestError(f"git URL {_shown(url)} is malformed") from None
    if allow_file and parts.scheme == "file" and not parts.netloc and not re.search(r"[\x00-\x1f]", url):
        return url
    if (
        parts.scheme not in ("ssh", "https", "http")
        or not host
        or host.startswith("-")
        or user.startswith("-")
        or re.search(r"[\x00-\x20\x7f]", url)
        or _too_long(parts.path)
    ):
        raise RequestError(f"git URL {_shown(url)} is refused: only ssh, https and http with a host are fetched from")
    return url


def is_object_id(text: str) -> bool:
    """Whether the text is a full object id, as git prints them."""
    return _OBJECT_ID.fullmatch(text) is not None


def _too_long(name: str) -> bool:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:  # lone surrogates, which JSON can carry
        return True
    return len(encoded) > _LONGEST_NAME or any(len(part) > _LONGEST_PART for part in encoded.split(b"/"))


def _shown(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else shown[:77] + "...'"
