"""What an operator reads in the log: the way of each change by its name, one line at a turn, and nothing else."""

from dataclasses import dataclass, field

import pytest
from support import gate_layouts
from support.player import Player
from support.states import add_item, make_layout, make_pipeline, make_ref, make_state

from zuul_launcher.model.actions import AnyAction, Close, Launch
from zuul_launcher.model.change import Subject, Tick
from zuul_launcher.model.events import AnyEvent
from zuul_launcher.service import story
from zuul_launcher.service.records import known


@dataclass
class Reader(Player):
    """Writes down the story of each step."""

    lines: list[str] = field(default_factory=list)

    def send(self, event: AnyEvent) -> list[AnyAction]:
        before = known(self.state)
        actions = super().send(event)
        self.lines += [line.partition(" (")[0] for line in story.lines(before, self.state, actions)]
        return actions


@pytest.fixture
def reader() -> Reader:
    return Reader(gate_layouts.gate_layout())


def test_the_way_of_a_change_is_one_line_at_each_turn(reader: Reader) -> None:
    change = reader.upload("B")
    reader.approve(change)
    reader.drain()
    assert reader.lines == [
        "gate: B 1,1 enters",
        "gate: B 1,1 launches unit, style",
        "gate: B 1,1 is reported: success",
        "gate: B 1,1 leaves: merged",
    ]


def test_what_is_taken_back_is_told_with_its_reason(reader: Reader) -> None:
    change = reader.upload("B")
    reader.approve(change)
    reader.abandon(change)
    assert reader.lines[2:] == ["gate: B 1,1 leaves: it was abandoned"]


def test_a_change_that_only_stands_in_for_another_is_not_told(reader: Reader) -> None:
    needed = reader.upload("B")
    change = reader.upload("B", depends=(needed.number,))
    reader.propose(change)
    reader.drain()
    assert any(line.startswith("check: B 2,1 ") for line in reader.lines)
    assert not any(line.startswith("check: B 1,1 ") for line in reader.lines)


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        (make_ref("refs/tags/1.0", "ab12cd34" * 5), "refs/tags/1.0 ab12cd3"),
        (Tick(connection="gerrit", project="lib/alpha"), "timer"),
    ],
)
def test_what_is_no_change_has_a_name_as_well(subject: Subject, name: str) -> None:
    layout = make_layout(make_pipeline("post", "independent"))
    state = make_state()
    before = known(state)
    item = add_item(state, layout, subject, pipeline="post", attempt=2)
    launch = Launch(item=item.id, attempt=2, job="unit", build="u")
    assert list(story.lines(before, state, [launch, Close(item="gone", attempt=1, reason="x")])) == [
        f"post: lib/alpha {name} enters (item {item.id}, attempt 2)",
        f"post: lib/alpha {name} launches unit (item {item.id}, attempt 2)",
    ]
