"""Log sites: a folder of the manager, or an SFTP server. Files appear there complete or not at all.

Below the root of the site only: a target comes from parameters, and `..` is refused.
"""

import errno
import posixpath
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

import paramiko

from zuul_launcher.remoting.errors import HandshakeFailed
from zuul_launcher.remoting.hostkeys import trust
from zuul_launcher.worker.builds.artifacts import NotPublished
from zuul_launcher.worker.definitions.job import Site

CHUNK = 256 * 1024
PART = ".part"


class Target(Protocol):
    """Where files go."""

    def put(self, source: Path, place: PurePosixPath) -> None:
        """A copy of a file at a place below the root; folders above it are made. Raises OSError."""


def below(place: str) -> PurePosixPath:
    """NotPublished for what leads out of the root."""
    path = PurePosixPath(place.strip("/"))
    if ".." in path.parts or "\0" in place:
        raise NotPublished(f"the target {place!r} leads out of the site")
    return path


@contextmanager
def opened(site: Site, timeout: float, check: Callable[[], object]) -> Iterator[Target]:
    """`check` is called now and then, and raises what ends the work. Raises NotPublished, OSError."""
    if site.host is None:
        yield _Folder(Path(site.root), check)
        return
    client = paramiko.SSHClient()
    try:
        yield _Server(_connected(client, site, timeout), site.root, check)
    except (paramiko.SSHException, EOFError, HandshakeFailed) as error:
        raise NotPublished(f"the site {site.name}: {error}") from error
    finally:
        client.close()


class _Folder:
    def __init__(self, root: Path, check: Callable[[], object]) -> None:
        self._root, self._check = root, check

    def put(self, source: Path, place: PurePosixPath) -> None:
        self._check()
        target = self._root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name[:200]}{PART}")
        shutil.copyfile(source, part)
        part.chmod(0o644)
        part.replace(target)


class _Server:
    def __init__(self, sftp: paramiko.SFTPClient, root: str, check: Callable[[], object]) -> None:
        self._sftp, self._root, self._check = sftp, root, check
        self._made: set[str] = set()

    def put(self, source: Path, place: PurePosixPath) -> None:
        target = posixpath.join(self._root, str(place))
        self._make(posixpath.dirname(target))
        part = posixpath.join(posixpath.dirname(target), f".{place.name[:200]}{PART}")
        with source.open("rb") as file, self._sftp.open(part, "wb") as remote:
            remote.set_pipelined(True)
            while chunk := file.read(CHUNK):
                self._check()
                remote.write(chunk)
        self._sftp.posix_rename(part, target)

    def _make(self, folder: str) -> None:
        if folder in self._made or folder in ("", "/"):
            return
        try:
            self._sftp.mkdir(folder)
        except OSError as error:
            if error.errno == errno.ENOENT:
                self._make(posixpath.dirname(folder))
                self._sftp.mkdir(folder)
            elif not stat.S_ISDIR(self._sftp.stat(folder).st_mode or 0):
                raise
        self._made.add(folder)


def _connected(client: paramiko.SSHClient, site: Site, timeout: float) -> paramiko.SFTPClient:
    known_hosts = None if site.known_hosts is None else Path(site.known_hosts).expanduser()
    trust(client, site.host or "", site.port, site.host_key or "", known_hosts)
    client.connect(
        site.host or "",
        site.port,
        site.user or None,
        key_filename=None if site.key is None else str(Path(site.key).expanduser()),
        allow_agent=site.key is None,
        look_for_keys=False,
        timeout=timeout,
        banner_timeout=timeout,
        auth_timeout=timeout,
    )
    sftp = client.open_sftp()
    channel = sftp.get_channel()
    assert channel is not None
    channel.settimeout(timeout)
    return sftp
