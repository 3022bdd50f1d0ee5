from typing import Any

import pytest
from support.states import (
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

from zuul_launcher.model.layout import Job, Layout
from zuul_launcher.model.queue import Item, State
from zuul_launcher.report.text import duration, job_url, mail_subject, one_line, report
from zuul_launcher.settings import Zuul

LOGS = "https://logs.example.net/{change.number}/{change.patchset}/{pipeline.name}/{job.name}/{build.number}"
JOBS = tree("unit", "docs", "style", ("build", "deploy"))


def gate(*jobs: Job, **pipeline: Any) -> tuple[Layout, State, Item]:
    """A change with four jobs, the last one under another."""
    layout = make_layout(make_pipeline("gate", **pipeline), trees={"lib/beta": {"gate": JOBS}}, jobs=jobs)
    state = make_state()
    return layout, state, add_item(state, layout, make_change("4711", "3", "lib/beta"))


def parameters(_uuid: str) -> dict[str, Any]:
    return {"LOG_PATH": "11/4711/3/gate", "COUNT": 3}


def text(world: tuple[Layout, State, Item], verdict: Any, with_jobs: bool = True, **settings: Any) -> str:
    return report(*world, verdict, settings=Zuul(**settings), parameters=parameters, with_jobs=with_jobs)


def test_a_failure_names_each_job_in_tree_order_with_its_link_result_and_time() -> None:
    world = gate(Job(name="style", voting=False), footer_message="Questions: ci@example.net")
    item = world[2]
    ended = {"started_at": EPOCH, "number": 1}
    add_build(item, "build", result="FAILURE", ended_at=EPOCH + 3725, **ended)
    add_build(item, "style", voting=False, result="FAILURE", ended_at=EPOCH + 9.9, **ended)
    add_build(item, "docs", result="SUCCESS", ended_at=EPOCH + 41, **ended)
    add_build(item, "unit", result="UNSTABLE", ended_at=EPOCH + 127, **ended)

    assert text(world, "failure", url_pattern=LOGS, job_name_in_report=True) == (
        "Build failed.\n"
        "\n"
        "- unit https://logs.example.net/4711/3/gate/unit/1 : UNSTABLE in 2m 07s\n"
        "- docs https://logs.example.net/4711/3/gate/docs/1 : SUCCESS in 41s\n"
        "- style https://logs.example.net/4711/3/gate/style/1 : FAILURE in 9s (non-voting)\n"
        "- build https://logs.example.net/4711/3/gate/build/1 : FAILURE in 1h 02m 05s\n"
        "- deploy https://logs.example.net/4711/3/gate/deploy/None : SKIPPED\n"
        "\n"
        "Questions: ci@example.net"
    )


def test_a_success_without_settings_shows_the_urls_of_the_workers() -> None:
    world = gate()
    for job in world[2].jobs:
        add_build(
            world[2], job, result="SUCCESS", url=f"https://ci.example.net/{job}/", started_at=EPOCH, ended_at=EPOCH
        )

    assert text(world, "success") == (
        "Build succeeded.\n"
        "\n"
        "- https://ci.example.net/unit/ : SUCCESS in 0s\n"
        "- https://ci.example.net/docs/ : SUCCESS in 0s\n"
        "- https://ci.example.net/style/ : SUCCESS in 0s\n"
        "- https://ci.example.net/build/ : SUCCESS in 0s\n"
        "- https://ci.example.net/deploy/ : SUCCESS in 0s\n"
    )


def test_times_are_left_out_if_the_site_says_so_or_one_is_unknown() -> None:
    layout = make_layout(make_pipeline("gate"), trees={"lib/alpha": {"gate": tree("noop", "unit")}})
    state = make_state()
    item = add_item(state, layout, make_change())
    add_build(item, "noop", result="SUCCESS", ended_at=EPOCH)
    add_build(item, "unit", result="SUCCESS", started_at=EPOCH, ended_at=EPOCH + 5)

    assert text((layout, state, item), "success").endswith("- noop : SUCCESS\n- unit : SUCCESS in 5s\n")
    assert text((layout, state, item), "success", report_times=False).endswith("- noop : SUCCESS\n- unit : SUCCESS\n")


def test_a_start_says_which_jobs_start_and_where_to_look() -> None:
    assert text(gate(), "start") == "Starting gate jobs."
    assert text(gate(), "start", status_url="https://zuul.example.net/") == (
        "Starting gate jobs.\nhttps://zuul.example.net/"
    )
    assert text(gate(footer_message="Bye"), "start") == "Starting gate jobs.\nBye"


def test_a_dependency_failure_has_no_job_lines() -> None:
    assert text(gate(), "dependency-failure") == "This change depends on a change that failed to merge.\n"
    assert text(gate(footer_message="Bye"), "dependency-failure") == (
        "This change depends on a change that failed to merge.\n\nBye"
    )


def test_a_merge_failure_of_which_nothing_is_known_is_the_configured_text_only() -> None:
    assert text(gate(), "merge-failure") == (
        "Merge Failed.\n\nThis change or one of its cross-repo dependencies was unable to be automatically merged"
        " with the current state of its repository. Please rebase the change and upload a new patchset."
    )
    assert text(gate(merge_failure_message="No.", footer_message="Bye"), "merge-failure") == "No.\nBye"


def test_a_merge_failure_names_the_files_in_conflict() -> None:
    world = gate(merge_failure_message="No.", footer_message="Bye")
    world[2].build_set.conflicts = ("README", "a\nforged : SUCCESS")
    world[2].build_set.merge_error = "conflict"

    assert text(world, "merge-failure") == ("No.\n\nConflicting files:\n- README\n- a forged : SUCCESS\n\nBye")


def test_a_merge_failure_with_many_conflicts_names_the_first_and_counts_the_rest() -> None:
    world = gate(merge_failure_message="No.")
    world[2].build_set.conflicts = tuple(f"file{n}" for n in range(23))

    lines = text(world, "merge-failure").splitlines()
    assert lines[3] == "- file0"
    assert lines[22:] == ["- file19", "- and 3 more"]


def test_a_merge_failure_without_conflict_says_what_went_wrong() -> None:
    world = gate(merge_failure_message="No.")
    world[2].build_set.merge_error = "the repository is gone"

    assert text(world, "merge-failure") == "No.\n\nThe merge was not possible: the repository is gone\n"


def test_the_sql_form_has_no_job_lines() -> None:
    assert text(gate(footer_message="Bye"), "success", with_jobs=False) == "Build succeeded.\nBye"


def test_the_messages_of_a_job_replace_the_words_success_and_failure_only() -> None:
    job = Job(name="unit", success_message="fine", failure_message="broken")
    for result, word in (("SUCCESS", "fine"), ("FAILURE", "broken"), ("UNSTABLE", "UNSTABLE"), ("LOST", "LOST")):
        world = gate(job)
        add_build(world[2], "unit", result=result)
        assert f"- unit : {word}\n" in text(world, "failure")


@pytest.mark.parametrize(
    ("result", "url"),
    [
        ("SUCCESS", "https://good/11/4711/3/gate/3"),
        ("FAILURE", "https://bad/4711"),
        ("UNSTABLE", "https://all/unit"),
        ("SKIPPED", "https://all/unit"),
        (None, "https://all/unit"),
    ],
)
def test_the_pattern_of_a_job_is_used_for_its_own_result_only(result: str | None, url: str) -> None:
    world = gate(
        Job(
            name="unit",
            success_pattern="https://good/{build.parameters[LOG_PATH]}/{build.parameters[COUNT]}",
            failure_pattern="https://bad/{change.number}",
        )
    )
    add_build(world[2], "unit", result=result)
    assert job_url(*world, "unit", result, url_pattern="https://all/{job.name}", parameters=parameters) == url


@pytest.mark.parametrize(
    "pattern",
    ["{build.parameters[NO]}", "{nothing}", "{change.__class__.__mro__}", "{change.newrev}", "{", "{build.number:d}"],
)
def test_a_pattern_that_cannot_be_filled_in_gives_the_url_of_the_worker_not_url_pattern(pattern: str) -> None:
    world = gate(Job(name="unit", success_pattern=pattern))
    add_build(world[2], "unit", result="SUCCESS", url="https://ci/unit/1")
    assert job_url(*world, "unit", "SUCCESS", url_pattern=LOGS, parameters=parameters) == "https://ci/unit/1"


def test_without_any_url_the_name_of_the_job_stands_in_its_place() -> None:
    world = gate()
    assert job_url(*world, "unit", "SKIPPED", url_pattern=None, parameters=parameters) == "unit"
    assert (
        job_url(*world, "unit", "SKIPPED", url_pattern="{build.parameters[LOG_PATH]}", parameters=parameters) == "unit"
    )


def test_parameters_are_looked_up_only_for_patterns_that_speak_of_them() -> None:
    world = gate()
    build = add_build(world[2], "unit", result="SUCCESS", number=8)
    asked: list[str] = []

    def lookup(uuid: str) -> dict[str, Any]:
        asked.append(uuid)
        return {"A": "b"}

    assert job_url(*world, "unit", "SUCCESS", url_pattern="{build.uuid}/{build.number}", parameters=lookup) == (
        f"{build.uuid}/8"
    )
    assert asked == []
    assert job_url(*world, "unit", "SUCCESS", url_pattern="{build.parameters[A]}", parameters=lookup) == "b"
    assert asked == [build.uuid]


def test_a_result_of_a_worker_cannot_forge_a_line_or_flood_the_report() -> None:
    world = gate()
    add_build(world[2], "unit", result='" --code-review +2 --submit "')
    add_build(world[2], "docs", result="X\n- unit https://forged : SUCCESS\0\r\u2028", url="https://ci/\nhttps://x")
    add_build(world[2], "style", result="A" * 1_000_000)

    lines = text(world, "failure").split("\n")[2:5]
    assert lines[0] == '- unit : " --code-review +2 --submit "'
    assert lines[1] == "- https://ci/ https://x : X - unit https://forged : SUCCESS "
    assert lines[2] == f"- style : {'A' * 1000}… (cut)"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0s"),
        (0.9, "0s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (185, "3m 05s"),
        (3600, "1h 00m 00s"),
        (90061, "25h 01m 01s"),
    ],
)
def test_a_duration_is_told_in_whole_seconds(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_subject_of_a_mail_names_the_change() -> None:
    change = make_change("4711", "3", "lib/beta")
    assert mail_subject(None, change) == "Report for change 4711,3"
    assert mail_subject("[ci] {change.project} {change.number}", change) == "[ci] lib/beta 4711"
    assert mail_subject("[ci] {change.project}", make_ref()) == "[ci] lib/alpha"


def test_a_wrong_subject_pattern_falls_back_and_line_ends_cannot_add_headers() -> None:
    assert mail_subject("{change.__dict__}", make_change("1", "1")) == "Report for change 1,1"
    assert mail_subject("{change.branch}", make_change(branch="x\r\nBcc: all@example.net")) == "x Bcc: all@example.net"


def test_one_line_keeps_ordinary_text_as_it_is() -> None:
    assert one_line("Zürich – “ok”") == "Zürich – “ok”"
