"""Which functions an executor offers, by what name it goes, and what is to be sent when that changes. Pure.

1. A node that is not online offers nothing, a disabled job is offered by nobody.
2. A job without expression is `build:JOB`, unless the node is exclusive.
3. A job with one is offered by the nodes that satisfy it: `build:JOB`, and `build:JOB:LABEL` for each label that the
   expression mentions and the node has. A node's name is such a label.
"""

from collections.abc import Iterable, Set

from msgspec import Struct

from zuul_launcher.worker.definitions.job import Job, NodeDefinition

BUILD = "build:"


class QueueNode(Struct, frozen=True, kw_only=True):
    """A node, as far as the queue is concerned."""

    name: str
    labels: frozenset[str] = frozenset()
    exclusive: bool = False
    executors: int = 1
    online: bool = True
    is_built_in: bool = False


class Difference(Struct, frozen=True, kw_only=True):
    """What makes the server's idea of a worker right. `reset`: take all functions back at once, nothing is added."""

    reset: bool = False
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def queue_node(definition: NodeDefinition) -> QueueNode:
    """As it is described."""
    return QueueNode(
        name=definition.name,
        labels=definition.labels,
        exclusive=definition.exclusive,
        executors=definition.executors,
    )


def may_run(node: QueueNode, job: Job) -> bool:
    """Whether a build of the job may run there, if the node is online."""
    if job.disabled:
        return False
    return not node.exclusive if job.node is None else job.node.matches(node.labels | {node.name})


def unserved_jobs(nodes: Iterable[QueueNode], jobs: Iterable[Job]) -> tuple[str, ...]:
    """Names of jobs that are not disabled and that none of the nodes may run, also if all were online."""
    there = [node for node in nodes if node.executors]
    return tuple(sorted(job.name for job in jobs if not job.disabled and not any(may_run(node, job) for node in there)))


def build_functions(node: QueueNode, jobs: Iterable[Job]) -> frozenset[str]:
    if not node.online:
        return frozenset()
    return frozenset(name for job in jobs if may_run(node, job) for name in _names(node, job))


def _names(node: QueueNode, job: Job) -> Iterable[str]:
    yield f"{BUILD}{job.name}"
    if job.node is not None:
        for label in job.node.atoms & (node.labels | {node.name}):
            yield f"{BUILD}{job.name}:{label}"


def split_function(function: str) -> tuple[str, str] | None:
    """(job, label) of `build:JOB` or `build:JOB:LABEL`; None: it is no build. Neither name has a colon."""
    if not function.startswith(BUILD):
        return None
    job, _, label = function.removeprefix(BUILD).partition(":")
    return job, label


def difference(registered: Set[str], wanted: Set[str]) -> Difference:
    if registered and not wanted:
        return Difference(reset=True)
    return Difference(added=tuple(sorted(wanted - registered)), removed=tuple(sorted(registered - wanted)))


def executor_id(manager: str, node: QueueNode, index: int, *, qualify: bool = False) -> str:
    """Client id: `NODE_exec-I`, on the manager's own node `MANAGER_exec-I`."""
    if node.is_built_in:
        return f"{manager}_exec-{index}"
    return f"{manager}_{node.name}_exec-{index}" if qualify else f"{node.name}_exec-{index}"


def management_id(manager: str) -> str:
    return f"{manager}_manager"
