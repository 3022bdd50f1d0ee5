"""Two managers must not have one name: each would get the other's stops."""

from zuul_launcher.gearman.probe import CONNECT_SECONDS, status
from zuul_launcher.worker.queue.management import STOP


def other_manager(server: str, port: int, manager: str, timeout: float = CONNECT_SECONDS) -> str | None:
    """`CLIENT_ID at ADDRESS` of whoever offers to stop this manager's builds; None: nobody does.

    Raises RemoteUnavailable: nobody can say.
    """
    function = f"{STOP}{manager}"
    for one in status(server, port, timeout).connections:
        if function in one.functions:
            return f"{one.client_id} at {one.address}"
    return None
