"""The built-in Gearman server: an asyncio process of its own. `run` serves in the foreground, `Options` are its limits.

A packet's way: listen (sockets) -> connection (hygiene) -> packets (framing) -> commands or admin (meaning) -> queue
(jobs and workers, pure; lanes, abilities and job are its parts).
"""

from zuul_launcher.gearman.server.listen import Server, run
from zuul_launcher.gearman.server.options import Options

__all__ = ["Options", "Server", "run"]
