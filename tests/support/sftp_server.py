"""A real sshd on loopback that serves SFTP, for the user who runs the tests."""

import getpass
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.services import program
from support.waiting import free_port, wait_until

from zuul_launcher.worker.definitions.job import Site

SECONDS = 60


@contextmanager
def sftp_site(folder: Path, root: Path) -> Iterator[Site]:
    """A log site there, as long as the block. For tests that are marked `sshd`."""
    server = program("sshd")
    assert server is not None, "the tests that need it are marked"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, timeout=SECONDS)
    port = free_port()
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    command = [server, "-D", "-e", "-f", str(folder / "config")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            wait_until(lambda: b"listening" in process.stderr.readline(), what="sshd")
            yield Site(
                name="logs",
                root=str(root),
                host="127.0.0.1",
                port=port,
                user=getpass.getuser(),
                key=str(folder / "user"),
                host_key=(folder / "host.pub").read_text().strip(),
            )
        finally:
            process.terminate()
            process.stderr.close()
