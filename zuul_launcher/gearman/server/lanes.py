"""The queued jobs: one lane a function and priority, so that no job of another function is ever looked at.

Rule: of all queued jobs whose function is asked for, the highest priority comes first, within it the oldest.
"""

from collections import OrderedDict
from collections.abc import Collection

from zuul_launcher.gearman.server.job import Job, Priority


class Lanes:
    """Queued jobs by priority and function. Adding, removing and the first of a lane take constant time."""

    def __init__(self) -> None:
        # OrderedDict, not dict: the first key of a dict from which many were removed in front is slow to find.
        self._lanes: dict[Priority, dict[bytes, OrderedDict[int, Job]]] = {priority: {} for priority in Priority}

    def add(self, job: Job) -> None:
        self._lanes[job.priority].setdefault(job.function, OrderedDict())[job.sequence] = job

    def remove(self, job: Job) -> None:
        lanes = self._lanes[job.priority]
        lane = lanes[job.function]
        del lane[job.sequence]
        if not lane:
            del lanes[job.function]

    def first(self, functions: Collection[bytes]) -> Job | None:
        """What a worker of these functions gets next. Looks through its functions or the queued ones, the fewer."""
        for lanes in self._lanes.values():
            names = functions if len(functions) <= len(lanes) else lanes
            found: Job | None = None
            for name in names:
                if name not in lanes or name not in functions:
                    continue
                job = next(iter(lanes[name].values()))
                if found is None or job.sequence < found.sequence:
                    found = job
            if found is not None:
                return found
        return None

    def count(self, function: bytes, priority: Priority) -> int:
        return len(self._lanes[priority].get(function, ()))

    def total(self) -> int:
        """Jobs of all functions. Counts function by function."""
        return sum(len(lane) for lanes in self._lanes.values() for lane in lanes.values())

    def functions(self) -> set[bytes]:
        return {name for lanes in self._lanes.values() for name in lanes}
