"""The payload of a build as parameters, and its environment: who wins, and what never comes from outside."""

import json
from typing import Any

import pytest
from support.build_world import job

from zuul_launcher.worker.builds.environment import LONGEST, Environment, Facts, compose, problem
from zuul_launcher.worker.builds.limits import Identity
from zuul_launcher.worker.builds.parameters import BadPayload, expand, is_true, read

FACTS = Facts(
    job="folder/unit",
    number=7,
    node="n1",
    is_built_in=False,
    labels=frozenset({"n1", "linux", "gcc"}),
    executor=2,
    workspace="/w/unit",
    temporary="/w/unit@tmp",
    cookie="c0",
)
MANAGER = Identity(name="m", root_url="http://builds.example.org/")


def composed(
    texts: dict[str, str], manager: Identity = MANAGER, facts: Facts = FACTS, **job_fields: Any
) -> Environment:
    return compose(job(**job_fields), texts, facts, manager, {})


@pytest.mark.parametrize("payload", [b"{", b"[1]", b'"a"', b"null", b"7", b"\xff{}", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_json_object_is_refused_with_a_reason(payload: bytes) -> None:
    """D27."""
    with pytest.raises(BadPayload, match="parameters are"):
        read(payload)


def test_an_empty_payload_has_no_parameters() -> None:
    """D28."""
    assert read(b"").texts == {}


def test_the_last_of_repeated_keys_wins_with_a_warning() -> None:
    """D29."""
    found = read(b'{"p": "1", "q": "x", "p": "2"}')
    assert found.texts == {"p": "2", "q": "x"}
    assert found.warnings == ("the parameter 'p' was sent more than once: the last value is used",)


def test_values_become_texts_as_they_were_written() -> None:
    """D31."""
    sent = '{"i": 7, "f": 1.50, "e": 1e3, "b": true, "n": null, "o": {"ä": [1, null]}, "big": 123456789012345678901}'
    assert read(sent.encode()).texts == {
        "i": "7",
        "f": "1.50",
        "e": "1e3",
        "b": "true",
        "o": '{"ä": [1, null]}',
        "big": "123456789012345678901",
    }


def test_values_stay_what_they_were_beside_their_texts() -> None:
    assert read(b'{"i": 7, "n": null, "o": {"a": [1]}}').values == {"i": 7, "n": None, "o": {"a": [1]}}


def test_protected_names_come_from_outside_only_if_the_job_allows_them() -> None:
    """D32."""
    names = ["PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV", "LD_PRELOAD", "DYLD_X", "PYTHONPATH"]
    names += ["WORKSPACE", "BUILD_NUMBER", "JENKINS_URL"]
    sent = dict.fromkeys(names, "evil")
    assert "evil" not in composed(sent).variables.values()
    assert len(composed(sent).warnings) == len(names)
    allowed = composed(sent, allow_params=tuple(names))
    assert {name: allowed.variables[name] for name in names} == sent
    assert allowed.warnings == ()


def test_the_cookie_by_which_processes_are_found_is_always_ours() -> None:
    assert composed({"BUILD_COOKIE": "evil"}, allow_params=("BUILD_COOKIE",)).variables["BUILD_COOKIE"] == "c0"


def test_the_table_of_variables() -> None:
    """D34."""
    assert composed({}).variables == {
        "JOB_NAME": "folder/unit",
        "JOB_BASE_NAME": "unit",
        "BUILD_NUMBER": "7",
        "BUILD_ID": "7",
        "BUILD_TAG": "jenkins-folder-unit-7",
        "BUILD_DISPLAY_NAME": "#7",
        "BUILD_URL": "http://builds.example.org/job/folder%2Funit/7/",
        "JOB_URL": "http://builds.example.org/job/folder%2Funit/",
        "NODE_NAME": "n1",
        "NODE_LABELS": "gcc linux n1",
        "EXECUTOR_NUMBER": "2",
        "WORKSPACE": "/w/unit",
        "WORKSPACE_TMP": "/w/unit@tmp",
        "CI": "true",
        "BUILD_COOKIE": "c0",
    }


def test_without_a_root_url_there_are_no_urls() -> None:
    """D45."""
    variables = composed({}, Identity(name="m", jenkins_compat=True)).variables
    assert {"BUILD_URL", "JOB_URL", "JENKINS_URL"}.isdisjoint(variables)


def test_the_url_of_jenkins_is_there_only_if_it_is_asked_for() -> None:
    compatible = Identity(name="m", root_url="http://h/j", jenkins_compat=True)
    assert composed({}, compatible).variables["JENKINS_URL"] == "http://h/j/"


def test_parameters_win_over_the_environment_of_the_job_which_wins_over_that_of_the_node() -> None:
    found = compose(job(env={"A": "job", "B": "job"}), {"A": "sent"}, FACTS, MANAGER, {"A": "n", "B": "n", "C": "n"})
    assert [found.variables[name] for name in "ABC"] == ["sent", "job", "n"]


def test_names_that_are_none_of_variables_are_left_out_with_a_warning() -> None:
    found = composed({"a-b": "1", "1a": "2", "": "3", "a=b": "4", "ok.x-y": "5"})
    assert found.variables["ok.x-y"] == "5"
    assert {"1a", "", "a=b"}.isdisjoint(found.variables)
    assert len(found.warnings) == 3


def test_a_value_that_exec_cannot_take_goes_into_a_file() -> None:
    """D33."""
    most = "x" * (LONGEST - len("FITS=") - 1)
    found = composed({"FITS": most, "LONGER": "x" * (LONGEST - len("LONGER=")), "BYTES": "ä" * (LONGEST // 2)})
    assert found.variables["FITS"] == most
    assert found.variables["LONGER_FILE"] == "/w/unit@tmp/params/LONGER"
    assert found.variables["BYTES_FILE"] == "/w/unit@tmp/params/BYTES"
    assert {"LONGER", "BYTES"}.isdisjoint(found.variables)
    assert set(found.files) == {"params/LONGER", "params/BYTES"}


def test_the_timeout_is_told_in_milliseconds() -> None:
    assert composed({}, timeout=90.0, timeout_variable="BUILD_TIMEOUT").variables["BUILD_TIMEOUT"] == "90000"


@pytest.mark.parametrize("text", ["a\0b", json.loads(r'"\ud800"')])
def test_a_value_that_no_variable_can_hold_is_a_problem(text: str) -> None:
    assert problem({"fine": "x", "bad": text}) is not None
    assert problem({"fine": "x"}) is None


def test_references_stand_for_parameters_and_are_not_expanded_twice() -> None:
    assert expand("${A}/${B}/${C}-$A", {"A": "${B}", "B": "b"}) == "${B}/b/-$A"


def test_flags_are_true_in_few_words() -> None:
    """D58."""
    sent = {"a": "1", "b": "true", "c": "True", "d": "TRUE", "e": "yes", "f": "On", "g": True, "h": 1}
    assert all(is_true(read(json.dumps(sent).encode()).texts, name) for name in sent)
    sent = {"a": "0", "b": "false", "c": "", "d": "2", "e": None, "f": False, "g": "no"}
    assert not any(is_true(read(json.dumps(sent).encode()).texts, name) for name in sent)
    assert not is_true({}, "absent")
