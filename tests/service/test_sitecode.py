"""Parameter functions may do whatever they like: only their own build suffers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zuul_launcher.service.sitecode import SiteCode, SiteCodeFailed

CONTEXT: dict[str, Any] = {
    "change": {"number": "1", "patchset": "2", "owner": {"username": "ann"}},
    "project": "alpha",
    "pipeline": "gate",
    "live": True,
    "build_set": {"ref": "Z1", "commit": None, "zuul_url": None},
    "tags": ["a", "b"],
    "voting": False,
}
Load = Callable[[str], SiteCode]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """The site's code of one file, with a short deadline."""
    made: list[SiteCode] = []

    def make(text: str) -> SiteCode:
        (tmp_path / "functions.py").write_text(text)
        made.append(SiteCode([str(tmp_path / "functions.py")], deadline=1.0))
        return made[-1]

    yield make
    for code in made:
        code.stop()


def call(code: SiteCode, function: str = "f") -> dict[str, Any]:
    return code.call(function, "unit", CONTEXT, {"ZUUL_UUID": "u"})


def test_it_sees_item_and_job_and_changes_the_parameters(load: Load) -> None:
    code = load(
        "def f(item, job, params):\n"
        "    params['SEEN'] = [item.change.number, item.change.owner.username, item.change.project.name,\n"
        "                      item.pipeline.name, item.current_build_set.ref, job.name, sorted(job.tags),\n"
        "                      job.voting]\n"
    )
    assert call(code) == {
        "ZUUL_UUID": "u",
        "SEEN": ["1", "ann", "alpha", "gate", "Z1", "unit", ["a", "b"], False],
    }


def test_the_older_form_takes_no_job(load: Load) -> None:
    assert call(load("def f(item, params):\n    del params['ZUUL_UUID']\n")) == {}


def test_what_it_prints_is_not_taken_for_an_answer(load: Load) -> None:
    code = load("print('loading')\ndef f(item, job, params):\n    print('{\"parameters\": {}}', flush=True)\n")
    assert call(code) == call(code) == {"ZUUL_UUID": "u"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise KeyError('x')", r"KeyError: 'x' \(.*functions.py:3\)"),
        ("params['x'] = object()", "not JSON serializable"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os; os._exit(1)", "ended"),
        ("while True: pass", "did not return within 1 s"),
    ],
)
def test_one_that_goes_wrong_fails_its_build_and_the_next_is_served(load: Load, body: str, reason: str) -> None:
    code = load(f"def good(item, job, params): pass\ndef f(item, job, params):\n    {body}\n")
    with pytest.raises(SiteCodeFailed, match=reason):
        call(code)
    assert call(code, "good") == {"ZUUL_UUID": "u"}


def test_one_that_is_not_there_fails_its_build(load: Load) -> None:
    with pytest.raises(SiteCodeFailed, match="f"):
        call(load("def g(item, job, params): pass\n"))


@pytest.mark.parametrize("text", ["def f(:\n", "raise OSError('no')\n", "raise SystemExit\n"])
def test_files_that_do_not_load_fail_the_build(load: Load, text: str) -> None:
    with pytest.raises(SiteCodeFailed, match="do not load"):
        call(load(text))
