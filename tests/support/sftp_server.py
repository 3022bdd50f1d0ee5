"""A log site on a real sshd, which serves SFTP."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.remoting_nodes import sshd

from zuul_launcher.worker.definitions.job import Site


@contextmanager
def sftp_site(folder: Path, root: Path) -> Iterator[Site]:
    """As long as the block. For tests that are marked `sshd`."""
    with sshd(folder) as server:
        yield Site(
            name="logs",
            root=str(root),
            host="127.0.0.1",
            port=server.port,
            user=getpass.getuser(),
            key=str(server.key),
            host_key=server.host_key,
        )
