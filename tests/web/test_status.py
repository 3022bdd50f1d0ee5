import json
from typing import Any

from support.states import (
    ANN,
    EPOCH,
    add_build,
    add_item,
    make_change,
    make_layout,
    make_pipeline,
    make_ref,
    make_state,
    tree,
)

from zuul_launcher.model.layout import Layout, Window
from zuul_launcher.model.queue import PipelineState, Queue, State, Worker
from zuul_launcher.web.status import View, document, encode, items, running_jobs

NOW = EPOCH + 100
SHARED = {"lib/alpha": "core", "lib/beta": "core", "site": "site"}


def site(**pipeline: Any) -> Layout:
    return make_layout(
        make_pipeline("check", "independent", description="Tests new patch sets"),
        make_pipeline("gate", shared_queues=SHARED, **pipeline),
        trees={
            "lib/alpha": {"check": tree("unit"), "gate": tree("unit", ("build", "deploy"))},
            "lib/beta": {"check": tree("unit"), "gate": tree("unit")},
        },
    )


def shown(state: State, layout: Layout, **view: Any) -> dict[str, Any]:
    """The document as a reader of the JSON gets it."""
    result: dict[str, Any] = json.loads(encode(document(state, layout, View(now=NOW, version="0.1", **view))))
    return result


def only_item(state: State, layout: Layout, **view: Any) -> dict[str, Any]:
    (item,) = items(shown(state, layout, **view))
    return item


def test_an_idle_gate_lists_its_pipelines_and_shared_queues() -> None:
    assert shown(make_state(), site()) == {
        "zuul_version": "0.1",
        "trigger_event_queue": {"length": 0},
        "result_event_queue": {"length": 0},
        "last_reconfigured": 1500000000000,
        "errors": [],
        "pipelines": [
            {"name": "check", "description": "Tests new patch sets", "change_queues": []},
            {
                "name": "gate",
                "description": None,
                "change_queues": [
                    {"name": "core", "window": 20, "heads": []},
                    {"name": "site", "window": 20, "heads": []},
                ],
            },
        ],
    }


def test_before_the_first_load_there_is_no_time_of_it_and_a_message_is_there_only_when_said() -> None:
    empty = State(epoch="x")
    assert "last_reconfigured" not in shown(empty, make_layout())
    assert "message" not in shown(empty, make_layout())
    said = shown(empty, make_layout(), message="<p>leaving</p>", trigger_events=3, result_events=1, errors=("Oh",))
    assert (said["message"], said["trigger_event_queue"], said["result_event_queue"], said["errors"]) == (
        "<p>leaving</p>",
        {"length": 3},
        {"length": 1},
        ["Oh"],
    )


def test_an_item_of_a_gate_shows_every_field() -> None:
    layout, state = site(), make_state()
    item = add_item(state, layout, make_change("4710", "2"))
    item.build_set.failing_reasons = ("at least one job failed",)
    worker = Worker(name="w1", hostname="w1.example.net", ips=("10.0.0.1",), program="Jenkins", extra={"a": 1})
    running = add_build(
        item, "unit", started_at=EPOCH + 41, estimate=120.0, url="https://ci/88/", number=88, worker=worker
    )
    add_build(item, "build", result="FAILURE", started_at=EPOCH + 2, ended_at=EPOCH + 12.5, voting=False)

    seen = only_item(state, layout, url_pattern="https://logs/{change.number}/{job.name}/{build.number}")
    jobs = seen.pop("jobs")
    assert seen == {
        "id": "4710,2",
        "url": "https://review.example.net/4710",
        "project": "lib/alpha",
        "owner": {"name": "Ann", "email": "ann@example.net", "username": "ann"},
        "live": True,
        "active": True,
        "item_ahead": None,
        "items_behind": [],
        "failing_reasons": ["at least one job failed"],
        "zuul_ref": item.build_set.ref,
        "enqueue_time": 1500000001000,
        "remaining_time": 61000,
    }
    assert jobs[0] == {
        "name": "unit",
        "voting": True,
        "result": None,
        "url": "https://ci/88/",
        "report_url": "https://logs/4710/unit/88",
        "elapsed_time": 59000,
        "remaining_time": 61000,
        "estimated_time": 120.0,
        "launch_time": EPOCH + 1,
        "start_time": EPOCH + 41,
        "end_time": None,
        "uuid": running.uuid,
        "number": 88,
        "pipeline": "gate",
        "canceled": False,
        "retry": False,
        "node_labels": [],
        "node_name": None,
        "worker": {
            "name": "w1",
            "hostname": "w1.example.net",
            "ips": ["10.0.0.1"],
            "fqdn": None,
            "program": "Jenkins",
            "version": None,
            "extra": {"a": 1},
        },
    }
    assert (jobs[1]["elapsed_time"], jobs[1]["remaining_time"], jobs[1]["voting"]) == (10500, 0, False)
    assert jobs[1]["worker"]["name"] == "Unknown"
    assert (jobs[2]["name"], jobs[2]["result"], jobs[2]["uuid"]) == ("deploy", "SKIPPED", None)
    assert jobs[2]["report_url"] == "https://logs/4710/deploy/None"


def test_a_job_without_build_is_mostly_null() -> None:
    layout, state = site(), make_state()
    add_item(state, layout, make_change("1", "1", "lib/beta"))
    item = only_item(state, layout, url_pattern="https://logs/{job.name}")
    assert item["remaining_time"] is None
    known = {"name": "unit", "voting": True, "node_labels": []}
    assert {key: value for key, value in item["jobs"][0].items() if value is not None} == known


def test_a_build_that_has_not_started_leaves_the_remaining_time_open() -> None:
    layout, state = site(), make_state()
    item = add_item(state, layout, make_change())
    add_build(item, "unit", started_at=EPOCH, estimate=500.0)
    add_build(item, "build")
    seen = only_item(state, layout)
    assert seen["remaining_time"] is None
    assert [job["elapsed_time"] for job in seen["jobs"]] == [100000, None, None]


def test_without_history_a_job_has_no_remaining_time_and_late_ones_have_none_left() -> None:
    layout, state = site(), make_state()
    item = add_item(state, layout, make_change(project="lib/beta"))
    build = add_build(item, "unit", started_at=EPOCH, estimate=0.0)
    assert only_item(state, layout)["jobs"][0]["remaining_time"] is None
    assert only_item(state, layout)["remaining_time"] == 0
    build.estimate = 60.0
    assert only_item(state, layout)["jobs"][0]["remaining_time"] == 0


def test_the_remaining_time_of_an_item_is_not_below_that_of_the_item_before_it() -> None:
    layout, state = site(), make_state()
    for number, estimate in (("1", 300.0), ("2", 150.0), ("3", 900.0)):
        item = add_item(state, layout, make_change(number, "1", "lib/beta"))
        add_build(item, "unit", started_at=EPOCH, estimate=estimate)
    assert [item["remaining_time"] for item in items(shown(state, layout))] == [200000, 200000, 800000]


def test_a_queue_is_cut_before_each_item_that_has_none_ahead() -> None:
    layout, state = site(window=Window(start=2)), make_state()
    first = add_item(state, layout, make_change("1", "1"))
    add_item(state, layout, make_change("2", "1"))
    add_item(state, layout, make_change("3", "1"), ahead=first.id)
    add_item(state, layout, make_change("4", "1"), ahead=None)

    queue = shown(state, layout)["pipelines"][1]["change_queues"][0]
    assert (queue["name"], queue["window"]) == ("core", 2)
    assert [[item["id"] for item in head] for head in queue["heads"]] == [["1,1", "2,1", "3,1"], ["4,1"]]
    seen = {item["id"]: item for item in queue["heads"][0] + queue["heads"][1]}
    assert seen["1,1"]["items_behind"] == ["2,1", "3,1"]
    assert [seen[name]["item_ahead"] for name in seen] == [None, "1,1", "1,1", None]
    assert [seen[name]["active"] for name in seen] == [True, True, False, False]


def test_the_window_is_that_of_the_state_once_it_has_moved_and_zero_means_no_limit() -> None:
    layout, state = site(), make_state()
    state.pipelines["gate"] = PipelineState(queues=[Queue(name="site", window=7)])
    queues = shown(state, layout)["pipelines"][1]["change_queues"]
    assert [(queue["name"], queue["window"]) for queue in queues] == [("core", 20), ("site", 7)]

    state.pipelines["gate"].queues[0].window = 0
    for number in ("1", "2"):
        add_item(state, layout, make_change(number, "1", "site"))
    assert [item["active"] for item in items(shown(state, layout))] == [True, True]


def test_an_independent_pipeline_shows_a_queue_for_each_live_item_with_its_dependencies() -> None:
    layout, state = site(), make_state()
    add_item(state, layout, make_change("1", "1"), "check", live=False)
    state.pipelines["check"].queues[0].items.append(add_item(state, layout, make_change("2", "1"), "check").id)
    state.pipelines["check"].queues.pop()
    state.items["test-2"].ahead = "test-1"

    (queue,) = shown(state, layout)["pipelines"][0]["change_queues"]
    assert (queue["name"], queue["window"]) == ("lib/alpha", 0)
    dependency, live = queue["heads"][0]
    assert (dependency["live"], dependency["jobs"], dependency["items_behind"]) == (False, [], ["2,1"])
    assert (dependency["remaining_time"], live["item_ahead"]) == (None, "1,1")


def test_a_ref_shows_its_new_revision_and_no_owner() -> None:
    layout, state = site(), make_state()
    add_item(state, layout, make_ref(url="https://review.example.net/gitweb?p=x"), "check")
    item = only_item(state, layout)
    assert (item["id"], item["owner"], item["url"]) == ("2" * 40, None, "https://review.example.net/gitweb?p=x")
    assert item["project"] == "lib/alpha"


def test_an_unknown_project_owner_and_url_are_said_to_be_so() -> None:
    layout, state = site(), make_state()
    add_item(state, layout, make_change(project="", url="", owner=None), queue="core")
    item = only_item(state, layout)
    assert (item["project"], item["owner"], item["url"]) == ("Unknown Project", None, None)


def test_items_are_found_by_their_exact_id_in_all_pipelines() -> None:
    layout, state = site(), make_state()
    for pipeline in ("check", "gate"):
        add_item(state, layout, make_change("1", "1", owner=ANN), pipeline)
        add_item(state, layout, make_change("1", "11"), pipeline)
    whole = shown(state, layout)
    assert [item["id"] for item in items(whole, "1,1")] == ["1,1", "1,1"]
    assert items(whole, "1") == []


def test_running_jobs_are_all_items_with_report_urls_that_leave_url_pattern_out() -> None:
    layout, state = site(), make_state()
    view = View(now=NOW, version="0.1", url_pattern="https://logs/{job.name}")
    assert running_jobs(state, layout, view) == []
    add_build(add_item(state, layout, make_change()), "unit", url="https://ci/1/")
    (item,) = running_jobs(state, layout, view)
    assert [job["report_url"] for job in item["jobs"]] == ["https://ci/1/", None, None]
