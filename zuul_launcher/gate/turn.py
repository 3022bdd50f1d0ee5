"""One step while it is under way: the state it works on, the layout and time it goes by, the actions it has decided."""

import uuid
from dataclasses import dataclass, field

from zuul_launcher.model.actions import AnyAction
from zuul_launcher.model.layout import Layout, Pipeline
from zuul_launcher.model.queue import State


@dataclass
class Turn:
    state: State
    layout: Layout
    at: float
    actions: list[AnyAction] = field(default_factory=list)
    items_made: int = 0
    enqueued: list[tuple[str, str]] = field(default_factory=list)  # pipeline and key of each, for who waits for parents

    def do(self, action: AnyAction) -> None:
        self.actions.append(action)

    def pipeline(self, name: str) -> Pipeline:
        return self.layout.pipelines[name]

    def item_id(self) -> str:
        """A name that no other item ever had or will have: epoch, step and place in the step."""
        self.items_made += 1
        return f"{self.state.epoch[:8]}-{self.state.sequence}-{self.items_made}"

    def draw(self, *words: object) -> str:
        """32 hex digits that depend on the words and on the state's epoch only, so that a replay draws the same."""
        return uuid.uuid5(uuid.UUID(self.state.epoch), "\n".join(map(str, words))).hex
