import json
from typing import Any

import pytest
from click.testing import CliRunner
from support.states import EPOCH, add_build, add_item, make_change, make_layout, make_pipeline, make_state, tree

from zuul_launcher.cli import admin
from zuul_launcher.cli.show import COLUMNS, COLUMNS_OF_V2, DEFAULT_COLUMNS, chosen_columns, make_show, rough
from zuul_launcher.cli.v2 import zuul
from zuul_launcher.model.queue import Worker
from zuul_launcher.web.status import View, running_jobs

SHOWS: dict[str, Any] = {"zuul-launcher": admin.show, "zuul": zuul.commands["show"]}
LAYOUT = make_layout(make_pipeline("gate"), trees={"lib/alpha": {"gate": tree("unit", "docs")}})


def one_item() -> list[dict[str, Any]]:
    state = make_state()
    item = add_item(state, LAYOUT, make_change())
    worker = Worker(name="w1\x1b[2J", hostname="w1.example.net", ips=("10.0.0.1", "10.0.0.2"), extra={"a": 1})
    add_build(item, "unit", started_at=EPOCH, estimate=7300.0, number=88, worker=worker, node_labels=("trusty", "big"))
    return running_jobs(state, LAYOUT, View(now=EPOCH + 185, version="0.1"))


def show(items: list[dict[str, Any]], *arguments: str) -> str:
    command = make_show(lambda: items, clock=lambda: EPOCH + 185)
    result = CliRunner().invoke(command, ["running-jobs", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def rows(output: str) -> list[list[str]]:
    """Cells of the table, header first."""
    lines = [line for line in output.splitlines() if line[:1] in "│┃|"]
    return [[cell.strip() for cell in line.replace("┃", "│").strip("│").split("│")] for line in lines]


def test_an_idle_gate_says_so() -> None:
    assert show([]) == "No jobs currently running\n"


def test_the_default_columns_have_one_row_for_each_job() -> None:
    assert rows(show(one_item())) == [
        ["Project", "Change", "Job Name", "Worker", "Start Time", "Result"],
        ["lib/alpha", "4710,2", "unit", "w1\ufffd[2J", "3 minutes ago", ""],
        ["lib/alpha", "4710,2", "docs", "", "Unknown", ""],
    ]


def test_zuul_of_v2_shows_the_columns_that_it_did() -> None:
    command = make_show(one_item, clock=lambda: EPOCH + 185, default=COLUMNS_OF_V2)
    result = CliRunner().invoke(command, ["running-jobs"])
    assert rows(result.output)[0] == ["Job Name", "Worker", "Start Time", "Result"]
    default = {name: group.commands["running-jobs"].params[0].default for name, group in SHOWS.items()}
    assert default == {"zuul-launcher": DEFAULT_COLUMNS, "zuul": COLUMNS_OF_V2}


def test_all_columns_fit_on_a_line_for_scripts() -> None:
    header, unit, docs = rows(show(one_item(), "--columns", "ALL"))
    assert len(header) == len(unit) == len(docs) == 26
    cells = dict(zip(COLUMNS, unit, strict=True))
    assert (cells["elapsed_time"], cells["remaining_time"]) == ("3 minutes", "2 hours")
    assert (cells["estimated_time"], cells["end_time"]) == ("2 hours to go", "Unknown")
    assert (cells["voting"], cells["canceled"], cells["number"]) == ("Yes", "No", "88")
    assert (cells["node_labels"], cells["worker.ips"]) == ("trusty, big", "10.0.0.1, 10.0.0.2")
    assert (cells["worker.extra"], cells["pipeline"]) == ('{"a": 1}', "gate")


def test_columns_come_in_the_order_asked_for() -> None:
    assert chosen_columns("name, worker.fqdn ,change") == ["name", "worker.fqdn", "change"]


@pytest.mark.parametrize(("columns", "what"), [("nothing,name,nor this", "nothing, nor this"), (" , ", "no column is")])
def test_unknown_columns_are_refused_with_the_names_that_are_known(columns: str, what: str) -> None:
    for items in (one_item(), []):
        command = make_show(lambda items=items: items)
        result = CliRunner().invoke(command, ["running-jobs", "--columns", columns])
        assert result.exit_code == 2
        assert what in result.output
        said = result.output.replace("\n", " ")
        assert [name for name in COLUMNS if name not in said] == []


def test_json_is_the_list_as_it_came() -> None:
    items = one_item()
    assert json.loads(show(items, "--format", "json")) == items


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (185, "3 minutes"),
        (7300, "2 hours"),
        (86400 * 3, "3 days"),
        (86400 * 8, "1 week"),
        (86400 * 40, "1 month"),
        (86400 * 800, "2 years"),
    ],
)
def test_intervals_are_told_roughly(seconds: float, words: str) -> None:
    assert rough(seconds) == words
