"""What workers and mergers are told."""

import pytest
from support.states import add_build, add_item, make_change, make_layout, make_pipeline, make_ref, make_state, tree

from zuul_launcher.gearman.params import function_name, merge_request, parameters, unusable
from zuul_launcher.model.change import Tick
from zuul_launcher.model.layout import Layout, Project
from zuul_launcher.model.queue import Item, State

LAYOUT = make_layout(
    make_pipeline("gate"),
    make_pipeline("post", "independent"),
    trees={
        "lib/alpha": {"gate": tree("unit"), "post": tree("publish")},
        "lib/beta": {"gate": tree("unit"), "post": tree("publish")},
    },
)
URLS = {"gerrit": lambda project: f"ssh://zuul@review.example.net:29418/{project}"}


def two_in_a_gate(state: State, layout: Layout) -> tuple[Item, Item]:
    first = add_item(state, layout, make_change("4710", "2"), "gate")
    first.build_set.ref = "Z" + "1" * 32
    second = add_item(state, layout, make_change("4711", "3", "lib/beta"), "gate", ahead=first.id)
    second.build_set.ref = "Z0a1b2c3d4e5f60718293a4b5c6d7e8f9"
    second.build_set.commit = "3b1f" * 10
    second.build_set.zuul_url = "http://merger1.example.net/p"
    return first, second


def test_a_change_is_told_with_all_changes_ahead_in_the_order_of_the_protocol() -> None:
    state = make_state()
    _, item = two_in_a_gate(state, LAYOUT)
    build = add_build(item, "unit")
    build.uuid = "5f0c7e0a9b3d4c6e8f1a2b3c4d5e6f70"
    assert list(parameters(state, item, build).items()) == [
        ("ZUUL_UUID", "5f0c7e0a9b3d4c6e8f1a2b3c4d5e6f70"),
        ("ZUUL_PROJECT", "lib/beta"),
        ("ZUUL_PIPELINE", "gate"),
        ("ZUUL_URL", "http://merger1.example.net/p"),
        ("ZUUL_VOTING", "1"),
        ("ZUUL_BRANCH", "main"),
        ("ZUUL_CHANGES", "lib/alpha:main:refs/changes/10/4710/2^lib/beta:main:refs/changes/11/4711/3"),
        ("ZUUL_CHANGE_IDS", "4710,2 4711,3"),
        ("ZUUL_CHANGE", "4711"),
        ("ZUUL_PATCHSET", "3"),
        ("ZUUL_REF", "refs/zuul/main/Z0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
        ("ZUUL_COMMIT", "3b1f" * 10),
        ("BASE_LOG_PATH", "11/4711/3"),
        ("LOG_PATH", "11/4711/3/gate/unit/5f0c7e0"),
    ]


def test_a_ref_update_is_told_with_its_revisions() -> None:
    state = make_state()
    item = add_item(state, LAYOUT, make_ref(project="lib/beta"), "post")
    item.build_set.zuul_url = "http://merger1.example.net/p"
    build = add_build(item, "publish", voting=False)
    build.uuid = "77aa01c" + "0" * 25
    assert list(parameters(state, item, build).items()) == [
        ("ZUUL_UUID", "77aa01c" + "0" * 25),
        ("ZUUL_PROJECT", "lib/beta"),
        ("ZUUL_PIPELINE", "post"),
        ("ZUUL_URL", "http://merger1.example.net/p"),
        ("ZUUL_VOTING", "0"),
        ("ZUUL_REF", "refs/heads/main"),
        ("ZUUL_REFNAME", "refs/heads/main"),
        ("ZUUL_OLDREV", "1" * 40),
        ("ZUUL_NEWREV", "2" * 40),
        ("ZUUL_SHORT_OLDREV", "1111111"),
        ("ZUUL_SHORT_NEWREV", "2222222"),
        ("ZUUL_COMMIT", "2" * 40),
        ("BASE_LOG_PATH", "22/" + "2" * 40),
        ("LOG_PATH", "22/" + "2" * 40 + "/post/publish/77aa01c"),
    ]


def test_a_timer_is_told_by_its_project_alone() -> None:
    state = make_state()
    item = add_item(state, LAYOUT, Tick(connection="gerrit", project="lib/beta"), "post")
    build = add_build(item, "publish")
    build.uuid = "9c0d1e2" + "0" * 25
    assert parameters(state, item, build) == {
        "ZUUL_UUID": "9c0d1e2" + "0" * 25,
        "ZUUL_PROJECT": "lib/beta",
        "ZUUL_PIPELINE": "post",
        "ZUUL_URL": None,
        "ZUUL_VOTING": "1",
        "BASE_LOG_PATH": "",
        "LOG_PATH": "post/publish/9c0d1e2",
    }


@pytest.mark.parametrize(("number", "base"), [("4711", "11/4711/2"), ("5", "5/5/2"), ("100", "00/100/2")])
def test_logs_lie_under_the_last_two_digits_of_the_number(number: str, base: str) -> None:
    state = make_state()
    item = add_item(state, LAYOUT, make_change(number, "2"), "gate")
    assert parameters(state, item, add_build(item, "unit"))["BASE_LOG_PATH"] == base


def test_a_node_in_the_parameters_is_part_of_the_functions_name() -> None:
    assert function_name("unit", {}) == "build:unit"
    assert function_name("unit", {"ZUUL_NODE": "precise"}) == "build:unit:precise"
    assert function_name("unit", {"ZUUL_NODE": ""}) == "build:unit"


@pytest.mark.parametrize(
    "name", ["build:a\0b", "build:a\nb", "build:a\tb", "build:a b", "build:a\rb", "build:\x7f", "build:\ud800"]
)
def test_names_that_break_the_protocol_are_unusable(name: str) -> None:
    assert repr(name) in str(unusable(name))


def test_any_other_name_is_usable() -> None:
    assert unusable("build:mediawiki-core-\u00e9:node:1") is None


def test_a_merge_names_all_items_ahead_each_under_its_own_ref() -> None:
    state = make_state()
    layout = make_layout(make_pipeline("gate"), trees={"lib/alpha": {"gate": tree("unit")}})
    layout.projects["lib/beta"] = Project(name="lib/beta", merge_mode="cherry-pick")
    first, second = two_in_a_gate(state, layout)
    first.live = False
    assert merge_request(state, layout, second, URLS) == (
        "merger:merge",
        {
            "items": [
                {
                    "project": "lib/alpha",
                    "url": "ssh://zuul@review.example.net:29418/lib/alpha",
                    "connection_name": "gerrit",
                    "merge_mode": 2,
                    "refspec": "refs/changes/10/4710/2",
                    "branch": "main",
                    "ref": "Z" + "1" * 32,
                    "number": "4710",
                    "patchset": "2",
                    "oldrev": None,
                    "newrev": None,
                },
                {
                    "project": "lib/beta",
                    "url": "ssh://zuul@review.example.net:29418/lib/beta",
                    "connection_name": "gerrit",
                    "merge_mode": 3,
                    "refspec": "refs/changes/11/4711/3",
                    "branch": "main",
                    "ref": "Z0a1b2c3d4e5f60718293a4b5c6d7e8f9",
                    "number": "4711",
                    "patchset": "3",
                    "oldrev": None,
                    "newrev": None,
                },
            ]
        },
    )


def test_the_repository_of_a_ref_is_updated() -> None:
    state = make_state()
    item = add_item(state, LAYOUT, make_ref(), "post")
    assert merge_request(state, LAYOUT, item, URLS) == (
        "merger:update",
        {
            "project": "lib/alpha",
            "connection_name": "gerrit",
            "url": "ssh://zuul@review.example.net:29418/lib/alpha",
        },
    )
