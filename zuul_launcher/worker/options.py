"""What `[worker]` of zuul.conf says, as the rooms of a manager take it."""

import fcntl
import re
import socket
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from msgspec.structs import replace

from zuul_launcher import VERSION
from zuul_launcher.errors import ConfigurationError
from zuul_launcher.settings import Worker as WorkerOptions
from zuul_launcher.worker.builds.limits import Identity, Limits
from zuul_launcher.worker.definitions.job import Definitions, NodeDefinition
from zuul_launcher.worker.definitions.load import Sources
from zuul_launcher.worker.nodes import BUILT_IN, MachineSettings
from zuul_launcher.worker.queue.settings import QueueSettings

NAME_BYTES = 128


def checked_name(name: str) -> str:
    """Raises ConfigurationError: no name for a manager (worker-and-remoting A1)."""
    if not name or name != name.strip() or re.search(r"[\s\0/:]", name) or len(name.encode()) > NAME_BYTES:
        raise ConfigurationError(
            f"[worker] name = {name!r} can not be the name of a manager: no white space, `/` or `:`, at most"
            f" {NAME_BYTES} bytes"
        )
    return name


def checked_url(url: str | None) -> str | None:
    """Raises ConfigurationError: people could not follow it."""
    parts = urlsplit(url or "http://none")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigurationError(
            f"[worker] url = {url!r} is no address of pages: begin it with http:// or https:// and a host"
        )
    return url


def lock_folder(folder: Path) -> IO[bytes]:
    """Ours as long as the file is open. Raises ConfigurationError: another manager works there, or it cannot be had."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("ab")
    except OSError as error:
        raise ConfigurationError(
            f"[zuul] state_dir: {folder}: {error.strerror}: correct it, or make the folder"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ConfigurationError(
            f"another worker works in {folder}: stop it, or give this one another state_dir"
        ) from None
    return lock


def sources_of(options: WorkerOptions) -> Sources:
    return Sources(
        jobs=options.jobs,
        nodes=options.nodes,
        secrets=options.secrets,
        jjb=options.jjb,
        jjb_dialect=options.jjb_dialect,
        ignore=tuple(part.strip() for part in options.jjb_ignore.split(",") if part.strip()),
    )


def with_own_node(definitions: Definitions, options: WorkerOptions) -> Definitions:
    """The manager's own node is as nodes.yaml describes it, or as zuul.conf does if that file names no nodes."""
    if definitions.names_nodes:
        return definitions
    own = NodeDefinition(
        name=BUILT_IN,
        user=str(options.user or ""),
        labels=frozenset(options.labels.split()),
        exclusive=options.exclusive,
        executors=options.executors,
    )
    return replace(definitions, nodes={BUILT_IN: own})


def machine_settings(options: WorkerOptions, folder: Path, given: MachineSettings | None) -> MachineSettings:
    own = given or MachineSettings(local_root=folder / "nodes")
    return replace(own, local_root=folder / "nodes", disk_free=options.disk_free << 20)


def queue_settings(options: WorkerOptions, address: tuple[str, int], given: QueueSettings) -> QueueSettings:
    return replace(given, server=address[0], port=address[1], qualify_ids=options.qualify_ids)


def limits_of(options: WorkerOptions, given: Limits) -> Limits:
    return replace(
        given,
        kill_grace=float(options.kill_grace),
        on_connection_loss="abort" if options.on_connection_loss == "abort" else "finish",
        lost_grace=float(options.lost_grace),
        result_memory=float(options.result_memory),
        status_interval=float(options.status_interval),
    )


def identity_of(options: WorkerOptions, name: str) -> Identity:
    return Identity(
        name=name,
        root_url=options.url.rstrip("/") if options.url else None,
        metadata=metadata(),
        jenkins_compat=options.jenkins_compat,
    )


def metadata() -> dict[str, Any]:
    """Who we are, for the first data of each build (A8)."""
    host = socket.gethostname()
    return {
        "worker_name": host,
        "worker_hostname": host,
        "worker_fqdn": socket.getfqdn(),
        "worker_ips": addresses(host),
        "worker_program": "zuul-launcher worker",
        "worker_version": VERSION,
        "worker_extra": {},
    }


def addresses(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(one[4][0]) for one in found})
