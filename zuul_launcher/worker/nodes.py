"""The machines that builds run on: connections that are kept, whether each may take builds, and why not.

A node takes builds if nobody took it offline (which is remembered over restarts), its agent is connected, and its disk
has room. What changes is told to `changed`; a node that is lost is connected again for ever, with growing delays.
"""

import logging
import os
import pwd
import shutil
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec import Struct

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.remoting import Channel, ChannelSettings, SshNode, connect_ssh, connect_subprocess
from zuul_launcher.remoting.errors import RemotingError
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.process import MAX_FRAME
from zuul_launcher.worker.definitions.job import NodeDefinition
from zuul_launcher.worker.parts import NodeLost

CALLS_OF_A_BUILD = 3  # of an agent at once: a process, its output, a file
OTHER_CALLS = 8
BUILT_IN = "built-in"  # name of the manager's own node, which its client ids and NODE_NAME do not show
REMOTE_ROOT = "~/zuul-launcher"

log = logging.getLogger("zuul_launcher.worker.nodes")

State = Literal["online", "offline", "disconnected", "unhealthy"]


class MachineSettings(Struct, frozen=True, kw_only=True):
    """Times in seconds; tests shorten them."""

    local_root: Path  # of workspaces on this machine, if its node names none
    disk_free: int = 256 << 20  # bytes
    delays: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # before a lost node is connected again
    health_interval: float = 60.0
    health_patience: float = 30.0
    stop_patience: float = 10.0
    channel: ChannelSettings = ChannelSettings(max_frame=MAX_FRAME)


class Machine:
    """One node (`parts.Node`). `changed` is called, on any thread, whenever `takes_builds` may have changed;
    `withdrawn(name)` waits until the server knows that it takes none; `remember(reason)` stores why it is offline,
    None: it is not."""

    def __init__(
        self,
        definition: NodeDefinition,
        settings: MachineSettings,
        *,
        offline: str | None,
        remember: Callable[[str | None], None],
        changed: Callable[[], None],
        withdrawn: Callable[[str], None],
    ) -> None:
        self.definition = definition
        self.name = definition.name
        self.left_at: float | None = None  # Unix time: it takes no builds since, others may have its name
        self.faults = 0  # of ours, so far
        self._settings = settings
        self._remember = remember
        self._changed = changed
        self._withdrawn = withdrawn
        self._offline = offline
        self._problem: str | None = "it has not been connected yet"
        self._is_connected = False
        self._is_parked = False  # not connected, since nobody needs it; a build connects it
        self._channel: Channel | None = None
        self._root: FilePath | None = None
        self._connecting = threading.Lock()
        self._python = _local_python(definition) if definition.is_local else [definition.python]
        self._wake = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._keep, name=f"node {self.name}", daemon=True)

    @property
    def labels(self) -> frozenset[str]:
        return self.definition.labels | {self.name}

    @property
    def is_built_in(self) -> bool:
        return self.name == BUILT_IN

    def redefine(self, definition: NodeDefinition) -> None:
        """Other labels or executors; how it is reached stays."""
        self.definition = definition

    # Whether it takes builds

    @property
    def takes_builds(self) -> bool:
        return self.state == "online"

    @property
    def state(self) -> State:
        if self._offline is not None:
            return "offline"
        if not (self._is_connected or self._is_parked):
            return "disconnected"
        return "online" if self._problem is None else "unhealthy"

    @property
    def reason(self) -> str:
        """Why it takes no builds; empty if it does."""
        return self._offline if self._offline is not None else self._problem or ""

    def take_offline(self, reason: str) -> None:
        self._offline = reason  # also if it cannot be remembered now: whoever asks is done with this node
        log.info("node %s is offline: %s", self.name, reason)
        self._changed()
        try:
            self._remember(reason)
        finally:
            self._withdrawn(self.name)

    def bring_online(self) -> None:
        self._remember(None)
        self._offline = None
        log.info("node %s is no longer offline", self.name)
        self._changed()
        self._wake.set()

    # Its agent

    def start(self) -> None:
        """Connect, and stay connected; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the connection and all that runs there."""
        self._is_stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(self._settings.stop_patience)
        self._close()

    def park(self) -> None:
        """Let go of an agent that nobody needs; the next build connects it again."""
        self._is_parked = True
        self._close()

    def channel(self) -> Channel:
        with self._connecting:
            channel = self._channel
            if channel is not None and channel.is_open:
                return channel
            if self._is_stopping:
                raise NodeLost(f"node {self.name}: the worker is stopping")
            try:
                channel = self._connect()
            except (RemotingError, OSError) as error:
                if self._is_parked:  # else it would be given builds for ever that it cannot run
                    self._is_parked, self._problem = False, str(error)
                    self._changed()
                    self._wake.set()
                raise self._lost_by(error) from error
            self._channel, self._root = channel, None
            self._is_connected, self._is_parked, self._problem = True, False, None
        channel.on_close(partial(self._lost, channel))
        log.info("node %s is connected", self.name)
        self._changed()
        return channel

    def root(self) -> FilePath:
        channel = self.channel()
        root = self._root
        if root is not None and root.channel is channel:
            return root
        try:
            root = FilePath(channel, self._root_path(channel))
            root.mkdirs()
        except (RemotingError, OSError) as error:
            raise NodeLost(f"node {self.name}: no folder for workspaces: {error}") from error
        self._root = root
        return root

    def _connect(self) -> Channel:
        definition = self.definition
        threads = CALLS_OF_A_BUILD * definition.executors + OTHER_CALLS
        settings = ChannelSettings(**{**vars(self._settings.channel), "threads": threads})
        if definition.host is None:
            return connect_subprocess(self._python, name=self.name, settings=settings)
        node = SshNode(
            host=definition.host,
            user=definition.user or pwd.getpwuid(os.getuid()).pw_name,
            port=definition.port,
            key=None if definition.key is None else Path(definition.key).expanduser(),
            known_hosts=None if definition.known_hosts is None else Path(definition.known_hosts).expanduser(),
            host_key=definition.host_key or "",
            python=self._python,
        )
        return connect_ssh(node, name=self.name, settings=settings)

    def _root_path(self, channel: Channel) -> str:
        definition = self.definition
        if definition.root or not definition.is_local:
            wanted = definition.root or REMOTE_ROOT
            return str(channel.call(os.path.expanduser, wanted, timeout=self._settings.health_patience))
        root = self._settings.local_root / self.name
        root.mkdir(parents=True, exist_ok=True)
        if definition.user and os.getuid() == 0:
            shutil.chown(root, definition.user)
        return str(root)

    def _lost(self, channel: Channel, cause: object) -> None:
        with self._connecting:
            if self._channel is not channel:
                return
            self._channel = None
            self._is_connected = False
            if self._is_parked or self._is_stopping:
                return
            self._problem = str(cause)
        log.warning("node %s is lost: %s", self.name, cause)
        self._changed()
        self._wake.set()

    def _close(self) -> None:
        with self._connecting:
            channel, self._channel = self._channel, None
            self._is_connected = False
        if channel is not None:
            channel.close()

    # The thread that looks after it

    def _keep(self) -> None:
        tries = 0
        while not self._is_stopping:
            try:
                tries = 0 if self._look(is_first=not tries) else tries + 1
            except Exception:
                self.faults += 1
                log.exception("looking after node %s failed, it is tried again", self.name)
                tries += 1
            delays = self._settings.delays
            self._wake.wait(delays[min(tries, len(delays)) - 1] if tries else self._settings.health_interval)
            self._wake.clear()

    def _look(self, *, is_first: bool) -> bool:
        """Is it as it should be?"""
        if self._is_parked and self._problem is None:  # one that is not well gets no build that would connect it
            return True
        try:
            self._examine()
        except NodeLost as error:
            if self._is_parked:
                return True
            if is_first:
                log.warning("%s; it is tried again and again", error)
            self._note(str(error).removeprefix(f"node {self.name}: "))
            return False
        return True

    def _examine(self) -> None:
        """Connect it if need be, and see whether it has room. Raises NodeLost."""
        root = self.root()
        try:
            free = root.disk_free()
        except (RemotingError, OSError) as error:
            raise self._lost_by(error) from error
        wanted = self._settings.disk_free
        short = (
            f"its disk has {free >> 20} MiB left, {wanted >> 20} are needed (`disk_free`)" if free < wanted else None
        )
        if (short is not None) != (self._is_connected and self._problem is not None):
            log.log(logging.WARNING if short else logging.INFO, "node %s: %s", self.name, short or "it is well again")
        self._note(short)

    def _lost_by(self, error: Exception) -> NodeLost:
        """The agent's errors begin with its name, too."""
        return NodeLost(f"node {self.name}: {str(error).removeprefix(f'{self.name}: ')}")

    def _note(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            self._changed()


def _local_python(definition: NodeDefinition) -> list[str]:
    """The command of an agent on this machine; as another user only if this process may become one."""
    python = [sys.executable if definition.python == "python3" else definition.python]
    if not definition.user or definition.user == pwd.getpwuid(os.getuid()).pw_name:
        return python
    if not any(one.pw_name == definition.user for one in pwd.getpwall()):
        raise ConfigurationError(f"node {definition.name}: this machine has no user {definition.user!r}")
    if os.getuid() != 0:
        raise ConfigurationError(
            f"node {definition.name}: only root can run builds as {definition.user!r}: start the worker as root, or as"
            " that user without naming one"
        )
    group = pwd.getpwnam(definition.user).pw_gid
    return ["setpriv", f"--reuid={definition.user}", f"--regid={group}", "--init-groups", "--reset-env", *python]
