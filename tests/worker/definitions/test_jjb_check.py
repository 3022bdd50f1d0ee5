"""`worker jjb check`: what is registered, what is not and why; and how a set of files is read."""

import io
import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from zuul_launcher.errors import ConfigurationError
from zuul_launcher.worker.definitions.jjbcheck import Report, check
from zuul_launcher.worker.definitions.job import Shell
from zuul_launcher.worker.definitions.jobsteps import Known
from zuul_launcher.worker.definitions.load import Sources, load
from zuul_launcher.yamlfile.problems import FileErrors

FOLDER = Path(__file__).parent / "jjb"

# The shell commands that jenkins-job-builder 4.3.0 wrote for the files of jjb/four.
FETCH = 'git fetch origin "${BRANCH:-master}"\n'
MADE_BY_4 = {
    "plain": [FETCH, 'echo "${BRANCH:-master}" {x}', FETCH, "echo ${HOME}"],
    "compass-tests": [
        'echo compass "${BRANCH:-master}"\n',
        FETCH,
        "echo ${BRANCH} compass",
        FETCH,
        "echo ${HOME}",
        "tox -e py35 -- ${ARGS}",
        FETCH,
        "echo ${HOME}",
    ],
}


def checked(folder: Path, text: str, dialect: int = 6) -> Report:
    (folder / "jobs.yaml").write_text(textwrap.dedent(text))
    return check(folder / "jobs.yaml", dialect)


def test_a_job_with_a_part_that_has_no_translation_is_not_registered_but_listed() -> None:
    """D95. JJB pipeline job: not registered, listed by `jjb check`, exit 1. (The exit is that of the command.)"""
    report = check(FOLDER / "pipeline.yaml")
    assert set(report.jobs) == {"plain"}
    assert not report.is_complete
    assert report.lines == (
        "pipeline: project-type pipeline: not supported",
        "matrix: project-type matrix: not supported",
        "coverage: builder conditional-step: not supported",
        "coverage: publisher cloverphp: not supported",
        "coverage: publisher afs: not supported",
    )
    assert report.totals() == (
        "     1 job has builder conditional-step",
        "     1 job has project-type matrix",
        "     1 job has project-type pipeline",
        "     1 job has publisher afs",
        "     1 job has publisher cloverphp",
        "1 of 4 jobs are registered, 3 are not",
    )


def test_what_is_to_be_ignored_is_left_out_with_a_note() -> None:
    ignore = ["builder: conditional-step", "publisher:cloverphp", "publisher:afs"]
    report = check(FOLDER / "pipeline.yaml", ignore=ignore)
    assert set(report.jobs) == {"plain", "coverage"}
    assert report.jobs["coverage"].steps == (Shell(text="make coverage"),)
    assert report.notes == (
        "coverage: builder conditional-step: left out, as `ignore` says",
        "coverage: publisher cloverphp: left out, as `ignore` says",
        "coverage: publisher afs: left out, as `ignore` says",
    )


def test_parts_that_make_no_difference_are_noted() -> None:
    report = check(FOLDER / "samples" / "credentials.yaml")
    assert report.is_complete
    assert report.notes == (
        "publish-images: trigger timed: left out: the gate starts jobs, also at fixed times",
        "publish-images: publisher email-ext: left out: the gate reports",
    )


def test_sites_and_secrets_that_are_missing_are_told_if_they_are_known() -> None:
    known = Known(sites=("other",), secrets={"registry-token": {"file": "x"}})
    lines = check(FOLDER / "samples", known=known).lines
    assert "gate-sextant-docs: publisher scp: there is no site 'static.example.org' in nodes.yaml" in lines
    assert "publish-images: wrapper credentials-binding: the secret 'registry-token' has no text" in lines
    assert "publish-images: wrapper ssh-agent-credentials: there is no secret 'deploy-key'" in lines


def test_sites_and_secrets_that_are_there_are_fine() -> None:
    known = Known(
        sites=("static.example.org",),
        secrets={
            "registry-token": {"text": "x"},
            "registry": {"username": "x", "password": "x"},
            "signing-key": {"private_key": "x"},
            "deploy-key": {"private_key": "x"},
            "mirror-key": {"private_key": "x"},
            "docker-config": {"file": "x"},
        },
    )
    assert check(FOLDER / "samples", known=known).is_complete


def test_dialect_4_gives_what_version_4_gave() -> None:
    report = check(FOLDER / "four", dialect=4)
    assert report.lines == ()
    found = {name: [getattr(step, "text", None) for step in job.steps] for name, job in report.jobs.items()}
    assert found == MADE_BY_4


def test_dialect_6_refuses_what_version_6_refuses() -> None:
    with pytest.raises(FileErrors, match=r"four/old\.yaml:6:3: 'unknown-section' is not known"):
        check(FOLDER / "four")


@pytest.mark.parametrize("text", ["echo ${BRANCH:-master}", "echo {x}"])
def test_braces_of_a_plain_job_are_filled_in_by_6_and_left_alone_by_4(tmp_path: Path, text: str) -> None:
    job = f"- job:\n    name: a\n    builders:\n      - shell: '{text}'\n"
    assert checked(tmp_path, job, dialect=4).jobs["a"].steps == (Shell(text=text),)
    (line,) = checked(tmp_path, job).lines
    assert line.startswith(f"{tmp_path}/jobs.yaml:4:17: job 'a' is not registered: "), line


def test_there_are_two_dialects(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no JJB dialect 5: use 4 or 6"):
        checked(tmp_path, "[]", dialect=5)


def test_a_job_that_cannot_be_expanded_leaves_the_others(tmp_path: Path) -> None:
    report = checked(
        tmp_path,
        """\
        - builder:
            name: call
            builders: [shell: 'echo {what}']
        - builder:
            name: forever
            builders: [forever]
        - job: {name: missing, builders: [call]}
        - job: {name: endless, builders: [forever]}
        - job: {name: good, builders: [call: {what: a}]}
        - project: {name: p, jobs: ['no-template']}
        - project: {name: q, jobs: ['{name}-a']}
        - job-template: {name: '{name}-a'}
        """,
    )
    assert set(report.jobs) == {"good", "q-a"}
    places = [line.removeprefix(f"{tmp_path}/jobs.yaml:").split(": ")[:2] for line in report.lines]
    assert places == [
        ["3:24", "job 'missing' is not registered"],
        ["8:3", "job 'endless' is not registered"],
        ["10:29", "project 'p' is not registered"],
    ]
    assert "Missing parameter: 'what'" in report.lines[0]
    assert report.totals() == (
        "     3 jobs or projects can not be expanded",
        "2 of 2 jobs are registered, 0 are not",
    )


def test_of_two_jobs_of_a_name_the_first_counts(tmp_path: Path) -> None:
    report = checked(
        tmp_path,
        """\
        - job-template: {name: '{name}', builders: [shell: 'echo template']}
        - job: {name: a, builders: [shell: 'echo job']}
        - project: {name: a, jobs: ['{name}']}
        """,
    )
    assert report.jobs["a"].steps == (Shell(text="echo job"),)
    assert report.lines == (
        f"{tmp_path}/jobs.yaml:1:3: job 'a' is not registered: a second job of this name"
        f" (the first is in {tmp_path}/jobs.yaml:2)",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- job: [", "1:9: while parsing a flow node"),
        ("jobs: []", "1:1: expected a list"),
        ("- job", "1:3: expected a dictionary of one key"),
        ("- {job: {name: a}, view: {}}", "1:3: expected a dictionary of one key"),
        ("- jab: {name: a}", "1:3: 'jab' is not known"),
        ("- job: a", "1:3: job: expected a dictionary"),
        ("- job: {builders: []}", "1:8: Missing required element: 'name'"),
        ("- job: {name: a}\n- job: {name: a}", "1:3: Previous job definition"),
        ("- job: !!python/object/apply:os.system ['true']", "1:8: tag !!python/object/apply:os.system is not allowed"),
        ("- job: !!python/name:os.system", "1:8: tag !!python/name:os.system is not allowed"),
        ("- job: {name: !j2: '{{'}", "1:1: TemplateSyntaxError"),
    ],
)
def test_files_that_can_not_be_read_are_refused_as_a_whole(tmp_path: Path, text: str, message: str) -> None:
    """D79. Reload with a broken file: old jobs stay, error reported. (Whoever reloads keeps what it has.)"""
    with pytest.raises(FileErrors) as caught:
        checked(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/jobs.yaml:{message}")


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileErrors, match=r"none\.yaml:1:1: the file can not be read: No such file"):
        check(tmp_path / "none.yaml")


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    for script in ("one", "two"):
        report = checked(tmp_path, f"- job: {{name: a, builders: [shell: {script}]}}")
        assert report.jobs["a"].steps == (Shell(text=script),)


def test_jobs_yaml_counts_before_jjb(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("jobs: [{name: plain, steps: [{shell: ours}]}, {name: b, steps: [{shell: b}]}]")
    found = load(Sources(jobs=tmp_path / "ours.yaml", jjb=FOLDER / "pipeline.yaml", ignore=("publisher:afs",)))
    assert {name: job.steps for name, job in found.jobs.items()} == {
        "plain": (Shell(text="ours"),),
        "b": (Shell(text="b"),),
    }
    assert found.problems[0] == (
        f"{FOLDER}/pipeline.yaml:2:3: job 'pipeline' is not registered: project-type pipeline: not supported"
    )
    assert found.problems[-1] == (
        f"{FOLDER}/pipeline.yaml:27:3: job 'plain' is not registered: a second job of this name"
        f" (the first is in {tmp_path}/ours.yaml:1)"
    )
    assert not any("afs" in one for one in found.problems)


def test_the_library_says_nothing_and_changes_no_logging(capfd: pytest.CaptureFixture[str]) -> None:
    root, library = logging.getLogger(), logging.getLogger("jenkins_jobs")
    before = list(root.handlers), root.level, list(library.handlers), library.propagate, library.level
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    root.addHandler(handler)
    try:
        check(FOLDER / "four", dialect=4)  # with tags that the library warns of
        with pytest.raises(FileErrors):
            check(FOLDER / "four")
    finally:
        root.removeHandler(handler)
    assert (list(root.handlers), root.level, list(library.handlers), library.propagate, library.level) == before
    assert (heard.getvalue(), *capfd.readouterr()) == ("", "", "")


WITHOUT = """
import sys
sys.modules["jenkins_jobs"] = None
from pathlib import Path
from zuul_launcher.errors import ConfigurationError
from zuul_launcher.worker.definitions.load import Sources, load
assert load(Sources()).jobs == {}
try:
    load(Sources(jjb=Path("x.yaml")))
except ConfigurationError as error:
    print(error)
"""


def test_without_the_library_everything_else_works_and_one_error_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == (
        "JJB files need the library jenkins-job-builder (jenkins_jobs is missing): pip install 'zuul-launcher[jjb]'\n"
    )


def test_the_library_is_not_loaded_before_it_is_used() -> None:
    code = "import sys, zuul_launcher.worker.definitions.load; print('jenkins_jobs' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
