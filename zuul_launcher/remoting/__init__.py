"""Ship callables to nodes that have a bare python3.

    with LocalChannel() as channel:                       # or connect_subprocess(...), connect_ssh(...)
        channel.call(len, "abc")                          # any callable; its error is raised here
        future = channel.call_async(work, 1, name="x")    # .result(timeout) .cancel() .done(), awaitable

In a callable: `current_channel()`, `check_cancelled()`, `sleep(seconds)`, `wait_for(condition, ready, timeout)`;
`current_call().reaction(f)` runs `f` when the call is cancelled; `current_channel().on_close(f)` on the node: clean up.

    pipe = Pipe.to_remote()      # the far side gets a Pipe: its reader there, pipe.writer here; to_local(): reversed
    pipe.writer                  # io.BufferedIOBase: write(bytes), close(), error(exception)
    pipe.reader                  # io.BufferedIOBase: read(n), read1(n), readinto(buffer), close()
    RemoteFile(f, "rb", greedy)  # a local file as argument: a binary file of that mode on the far side
    LogSink(target.write)        # as argument: write(text) and flush() on the far side, whole lines, in order
    channel.export(x, ["m"])     # as argument: a Proxy on the far side, whose m() runs here
    lazy(cls, *args)             # as argument: cls(*args) is made on the far side, closed after the call

`@transferable` marks a dataclass, Enum or exception that results may hold, `@callable_from_agent` a function that code
on the node may call on the controller. `Portable` is the base of what changes its shape when it travels.

Every module that runs on the node is valid Python 3.8 and needs the standard library only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zuul_launcher.remoting.channel import Channel, LocalChannel
from zuul_launcher.remoting.context import (
    CallContext,
    callable_from_agent,
    check_cancelled,
    current_call,
    current_channel,
    running,
    sleep,
    transferable,
    wait_for,
)
from zuul_launcher.remoting.errors import NotOnAgent
from zuul_launcher.remoting.factory import Factory, lazy
from zuul_launcher.remoting.futures import RemoteFuture
from zuul_launcher.remoting.pipe import Pipe
from zuul_launcher.remoting.portable import Portable
from zuul_launcher.remoting.proxy import Proxy
from zuul_launcher.remoting.remotefile import RemoteFile
from zuul_launcher.remoting.settings import ChannelSettings
from zuul_launcher.remoting.sink import LogSink

if TYPE_CHECKING:
    from zuul_launcher.remoting.process import connect_subprocess
    from zuul_launcher.remoting.ssh import SshNode, connect_ssh

_OF_THE_CONTROLLER = {"connect_subprocess": "process", "connect_ssh": "ssh", "SshNode": "ssh"}


def __getattr__(name: str) -> Any:
    """What needs more than the standard library is loaded when it is asked for. NotOnAgent: it is not for a node."""
    if name not in _OF_THE_CONTROLLER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if __file__.startswith("<remote:"):
        raise NotOnAgent(f"{name} is for the controller: no channels start at a node")
    return getattr(import_module(f"{__name__}.{_OF_THE_CONTROLLER[name]}"), name)


__all__ = [
    "CallContext",
    "Channel",
    "ChannelSettings",
    "Factory",
    "LocalChannel",
    "LogSink",
    "Pipe",
    "Portable",
    "Proxy",
    "RemoteFile",
    "RemoteFuture",
    "SshNode",
    "callable_from_agent",
    "check_cancelled",
    "connect_ssh",
    "connect_subprocess",
    "current_call",
    "current_channel",
    "lazy",
    "running",
    "sleep",
    "transferable",
    "wait_for",
]
