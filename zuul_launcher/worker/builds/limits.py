"""What builds of a manager have in common: who runs them, and how far they may go. Times are seconds, sizes bytes."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct


class Identity(Struct, frozen=True, kw_only=True):
    """Who runs the builds."""

    name: str  # suffix of `stop:` and `set_description:`
    root_url: str | None = None  # of its pages, without a slash at the end
    metadata: Mapping[str, Any] = {}  # `worker_hostname` and the like, for the first WORK_DATA
    jenkins_compat: bool = False  # steps get JENKINS_URL


class Limits(Struct, frozen=True, kw_only=True):
    kill_grace: float = 10.0  # from TERM to KILL
    shutdown_grace: float = 3.0  # the same when the manager ends
    on_connection_loss: Literal["finish", "abort"] = "finish"
    lost_grace: float = 60.0  # until a build is aborted that nobody waits for
    result_memory: float = 3600.0  # how long the same unique id gets the same answer
    status_interval: float = 0.0  # between WORK_STATUS; 0: only the first one
    watch_interval: float = 1.0  # how often connections are looked at, if they matter
    console_bytes: int = 100 << 20
    line_bytes: int = 64 << 10
    artifact_bytes: int = 4 << 30  # of one build
    output_patience: float = 2.0  # for more output of a step that has ended, while others hold its streams
    fetch_pauses: tuple[float, ...] = (2.0, 8.0)  # between tries to reach a git server
    git_timeout: float = 1800.0  # of one command
    node_timeout: float = 600.0  # for a node to prepare or clear a workspace
    busy_pause: float = 1.0  # between looks at a workspace that another manager uses
    connect_timeout: float = 30.0  # of log sites
    store_pauses: tuple[float, ...] = (0.5, 2.0, 5.0)  # between tries to store a result
