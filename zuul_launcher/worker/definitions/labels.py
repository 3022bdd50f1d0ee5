"""Label expressions: which nodes may run a job (worker-and-remoting A5). Pure."""

from typing import Protocol


class Expression(Protocol):
    """A parsed expression; `str()` gives its text."""

    def matches(self, labels: frozenset[str]) -> bool:
        """Whether a node with these labels, its own name among them, satisfies it."""

    @property
    def atoms(self) -> frozenset[str]:
        """All labels that it mentions."""
