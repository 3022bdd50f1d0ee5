"""Every error of remoting, in one tree. Runs on the node too.

Where a built-in class says it as well (a broken pipe, a missing module), the error is one of that class too, so that
code written for local files and modules works unchanged.
"""

from __future__ import annotations


class RemotingError(Exception):
    """Base of all errors that remoting raises on purpose."""


class ChannelClosed(RemotingError, ConnectionError):
    """The channel ended. The text names channel, cause, exit status and the last lines of the agent's stderr."""


class ChannelForked(ChannelClosed):
    """The channel belongs to the parent of this process."""


class PingTimeout(RemotingError, TimeoutError):
    """The far side has been silent for too long."""


class ProtocolError(RemotingError):
    """The far side broke the rules of the wire: the channel is closed."""


class HandshakeFailed(RemotingError):
    """No agent answered. The text quotes what came instead, or both ranges of protocol versions."""


class PythonVersionMismatch(RemotingError):
    """Code by value (a lambda, a nested function) needs the same Python minor version on both sides."""


class VersionMismatch(RemotingError):
    """A data class has other fields on the far side: its source is another one there."""


class NotSerializable(RemotingError, TypeError):
    """A callable or an argument cannot be sent. The text names the way to the culprit. Nothing was sent."""


class ResultNotSerializable(RemotingError, TypeError):
    """The far side could not send the result. The text names the way to the culprit."""


class ResultRejected(RemotingError):
    """What the agent sent is no plain data, or of a class that is not marked as transferable."""


class MessageTooLarge(RemotingError, ValueError):
    """A message is above the limit: nothing was sent, the channel lives. Use a pipe."""


class ModuleNotAvailable(RemotingError, ModuleNotFoundError):
    """The controller has the module, but cannot send it as source. The text says why."""


class RoleDenied(RemotingError, PermissionError):
    """The agent may call only what is marked with `callable_from_agent`, and exported methods."""


class NestingTooDeep(RemotingError, RecursionError):
    """Calls that call back went deeper than the limit."""


class RemoteError(RemotingError, RuntimeError):
    """The callable raised an error whose class is not known here. `type_name` is that class, as module.name."""

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(type_name, message)
        self.type_name = type_name
        self.message = message

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class RemoteExit(RemotingError):
    """The callable raised SystemExit, KeyboardInterrupt or GeneratorExit: the call ended, the agent did not."""


class RemoteTraceback(RemotingError):
    """The traceback of the far side, as text: cause of the error that is raised here."""

    def __str__(self) -> str:
        return "\n" + str(self.args[0]) if self.args else ""


class FactoryError(RemotingError):
    """A factory could not make its object on the far side: the cause is chained."""


class NotOnAgent(RemotingError):
    """This part exists on the controller only (or: no call of a channel is running here)."""


class Cancelled(RemotingError):
    """The call was cancelled, or its deadline passed at the caller."""


class CallTimeout(RemotingError, TimeoutError):
    """The deadline of a call passed: the call was cancelled."""


class PipeReused(RemotingError, ValueError):
    """A pipe is for one call: it was sent before."""


class PipeBroken(RemotingError, OSError):
    """The other end of a pipe ended without saying that all data was written: what came so far is not all."""


class ProxyGone(RemotingError, ReferenceError):
    """The object behind a proxy was released."""


class MethodNotExported(RemotingError, AttributeError):
    """The method is not among those that were exported."""


class WrongChannel(RemotingError, ValueError):
    """A proxy, path or pipe of one channel cannot travel over another one."""
