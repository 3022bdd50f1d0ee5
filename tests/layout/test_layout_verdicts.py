"""Behaviour 10.16: which layouts are taken, and which are refused, each with words of its own."""

from collections.abc import Callable

import pytest

from zuul_launcher.layout.load import Loaded
from zuul_launcher.model.layout import ApprovalRule, GerritFilter, JobNode, Layout, Reporter

Load = Callable[[str], Loaded]
Refuse = Callable[[str], list[str]]

PIPELINES = """\
pipelines:
  - {name: check, manager: IndependentPipelineManager, trigger: {}}
"""
PROJECTS = "projects: []\n"


@pytest.fixture
def of(loaded: Load) -> Callable[[str], Layout]:
    """A layout without a single warning."""

    def of_text(text: str) -> Layout:
        found = loaded(text)
        assert found.warnings == ()
        return found.layout

    return of_text


def pipeline(rest: str, name: str = "name: p") -> str:
    lines = [name, *rest.splitlines()]
    return "pipelines:\n  - " + "\n    ".join(lines) + "\n" + PROJECTS


INDEPENDENT = "manager: IndependentPipelineManager\n"


def test_conflicts_are_told_to_all_reporters_that_are_listed_for_them(of: Callable[[str], Layout]) -> None:
    told = of(
        pipeline(
            INDEPENDENT + "trigger: {}\nfailure: {gerrit: {verified: -1}}\nmerge-failure-message: Rebase it.\n"
            "merge-failure:\n  gerrit: {verified: -2}\n  smtp: {to: you@example.com}\n"
        )
    ).pipelines["p"]
    assert told.merge_failure == (
        Reporter(connection="gerrit", options={"verified": -2}),
        Reporter(connection="smtp", options={"to": "you@example.com"}),
    )
    assert told.failure == (Reporter(connection="gerrit", options={"verified": -1}),)
    assert told.merge_failure_message == "Rebase it."


@pytest.mark.parametrize("nothing", ["", "merge-failure: {}\n"])
def test_conflicts_are_told_to_those_of_failures_if_nobody_is_listed(of: Callable[[str], Layout], nothing: str) -> None:
    told = of(pipeline(INDEPENDENT + "trigger: {}\nfailure: {gerrit: {verified: -1}}\n" + nothing)).pipelines["p"]
    assert told.merge_failure == told.failure == (Reporter(connection="gerrit", options={"verified": -1}),)
    assert told.merge_failure_message.startswith("Merge Failed.\n\nThis change or one of its cross-repo dependencies")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("{username: jenkins}", (ApprovalRule(username="jenkins"),)),
        ("[{username: jenkins}]", (ApprovalRule(username="jenkins"),)),
        (
            "[{username: jenkins, verified: [1, 2]}, {email-filter: x@y, older-than: 48h, newer-than: 3d}]",
            (
                ApprovalRule(username="jenkins", labels={"verified": (1, 2)}),
                ApprovalRule(email="x@y", older_than=48 * 3600, newer_than=3 * 86400),
            ),
        ),
        ("{email: x@y, Code-Review: 2}", (ApprovalRule(email="x@y", labels={"code-review": (2,)}),)),
    ],
)
def test_votes_may_be_required_in_every_form(
    of: Callable[[str], Layout], rules: str, expected: tuple[ApprovalRule, ...]
) -> None:
    text = (
        f"require: {{approval: {rules}}}\ntrigger:\n  gerrit:\n    - event: comment-added\n"
        f"      require-approval: {rules}\n      reject-approval: {rules}\nreject: {{approval: {rules}}}\n"
    )
    found = of(pipeline(INDEPENDENT + text)).pipelines["p"]
    (trigger,) = found.triggers
    assert isinstance(trigger, GerritFilter)
    assert found.require.approvals == found.reject == trigger.require == trigger.reject == expected


def test_a_pipeline_may_listen_to_two_gerrits(of: Callable[[str], Layout]) -> None:
    triggers = "trigger:\n  gerrit: [{event: patchset-created}]\n  other: [{event: change-restored}]\n"
    assert of(pipeline(INDEPENDENT + triggers)).pipelines["p"].triggers == (
        GerritFilter(connection="gerrit", events=("patchset-created",)),
        GerritFilter(connection="other", events=("change-restored",)),
    )


def test_a_template_takes_its_parameter(of: Callable[[str], Layout]) -> None:
    layout = of(
        PIPELINES
        + "project-templates:\n  - {name: t, check: ['{project}-unit']}\n"
        + "projects:\n  - {name: a/b, template: [{name: t, project: b}]}\n"
    )
    assert layout.projects["a/b"].pipelines["check"] == (JobNode("b-unit"),)


def test_swift_is_taken_on_any_job_and_said_to_do_nothing(loaded: Load) -> None:
    found = loaded(
        PIPELINES
        + "jobs:\n  - {name: ^.*$, swift: {name: logs, container: c}}\n"
        + "  - {name: unit, swift: [{name: logs}, {name: docs, expiry: 3600}]}\n"
        + "projects:\n  - {name: a, check: [unit]}\n"
    )
    assert "unit" in found.layout.jobs
    assert [(one.line, one.message.partition(":")[0]) for one in found.warnings] == [
        (4, "swift is ignored"),
        (5, "swift is ignored"),
    ]


def gerrit(rest: str) -> str:
    return pipeline(INDEPENDENT + f"trigger:\n  gerrit:\n    - {rest}\n")


def project(rest: str, before: str = "") -> str:
    return PIPELINES + before + f"projects:\n  - {{name: a, {rest}}}\n"


TEMPLATE = "project-templates:\n  - {name: t, check: ['{project}-unit']}\n"

REFUSED = {
    "trigger of an unknown connection": pipeline(INDEPENDENT + "trigger:\n  gitea: []\n"),
    "empty message": pipeline(INDEPENDENT + "trigger: {}\nmerge-failure-message:\n"),
    "ref of a patch set": gerrit("{event: patchset-created, ref: x}"),
    "no pipelines": "pipelines:\nprojects: []\n",
    "pipeline without name": pipeline("trigger: {}\n", name=INDEPENDENT.strip()),
    "unknown manager": pipeline("manager: Manager\ntrigger: {}\n"),
    "unknown event": gerrit("{event: patchset-made}"),
    "trigger without event": gerrit("{comment: x}"),
    "unknown key of a trigger": gerrit("{event: comment-added, colour: x}"),
    "pipeline without manager": pipeline("trigger: {}\n"),
    "pipeline that is there twice": PIPELINES + PIPELINES.splitlines()[1] + "\n" + PROJECTS,
    "unknown merge mode": project("merge-mode: rebase"),
    "undefined pipeline of a project": project("gate: []"),
    "blank in a job name": project("check: [a b]"),
    "open in reject": pipeline(INDEPENDENT + "trigger: {}\nreject: {open: true}\n"),
    "swift without name": PIPELINES + "jobs:\n  - {name: unit, swift: {container: c}}\n" + PROJECTS,
    "template without its parameter": project("template: [{name: t}]", TEMPLATE),
    "parameter too many": project("template: [{name: t, project: b, branch: c}]", TEMPLATE),
    "undefined pipeline of a template": PIPELINES + "project-templates:\n  - {name: python, gate: []}\n" + PROJECTS,
}


def test_each_refusal_has_words_of_its_own(refused: Refuse) -> None:
    said = {name: refused(text) for name, text in REFUSED.items()}
    assert {name: problems for name, problems in said.items() if len(problems) != 1} == {}
    words = {problems[0] for problems in said.values()}
    assert len(words) == len(REFUSED)  # what may be wrong in two places has the place of each


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trigger of an unknown connection", "extra keys not allowed: 'gitea'"),
        ("empty message", "expected str"),
        ("ref of a patch set", "does not include ref information"),
        ("no pipelines", "expected a list"),
        ("pipeline without name", "required key not provided: 'name'"),
        ("unknown manager", "not a valid value"),
        ("unknown event", "not a valid value"),
        ("trigger without event", "required key not provided: 'event'"),
        ("unknown key of a trigger", "extra keys not allowed: 'colour'"),
        ("pipeline without manager", "required key not provided: 'manager'"),
        ("pipeline that is there twice", "Duplicate name: check"),
        ("unknown merge mode", "not a valid value"),
        ("undefined pipeline of a project", "extra keys not allowed: 'gate'"),
        ("blank in a job name", "does not match regular expression"),
        ("open in reject", "extra keys not allowed: 'open'"),
        ("swift without name", "required key not provided: 'name'"),
        ("template without its parameter", "required key not provided: 'project'"),
        ("parameter too many", "extra keys not allowed: 'branch'"),
        ("undefined pipeline of a template", "extra keys not allowed: 'gate'"),
    ],
)
def test_a_wrong_layout_is_refused_in_the_words_of_v2(refused: Refuse, name: str, words: str) -> None:
    (problem,) = refused(REFUSED[name])
    assert words in problem
