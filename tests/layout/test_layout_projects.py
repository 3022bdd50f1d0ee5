"""Templates are filled in and joined with the jobs of the project itself."""

from collections.abc import Callable

import pytest

from zuul_launcher.layout.load import Loaded
from zuul_launcher.model.layout import JobNode, Project

Load = Callable[[str], Loaded]
Refuse = Callable[[str], list[str]]

HEAD = """\
pipelines:
  - {name: check, manager: IndependentPipelineManager, trigger: {}}
  - {name: gate, manager: DependentPipelineManager, trigger: {}}
"""


@pytest.fixture
def project(loaded: Load) -> Callable[[str], Project]:
    """The last project of a text that has templates and projects."""

    def load_project(text: str) -> Project:
        return list(loaded(HEAD + text).layout.projects.values())[-1]

    return load_project


def tree(*names: "str | JobNode") -> tuple[JobNode, ...]:
    return tuple(JobNode(name) if isinstance(name, str) else name for name in names)


def test_a_job_tree_has_names_parents_and_nested_lists(project: Callable[[str], Project]) -> None:
    one = project("projects:\n  - name: a\n    check: [x, {y: [y1, {y2: [y3]}], z: []}, [v, w]]\n    gate: []\n")
    assert one.pipelines == {
        "check": tree("x", JobNode("y", tree("y1", JobNode("y2", tree("y3")))), "z", "v", "w"),
        "gate": (),
    }
    assert one.merge_mode == "merge-resolve"


def test_the_same_name_under_one_parent_is_one_node_at_its_first_place(project: Callable[[str], Project]) -> None:
    one = project("projects:\n  - name: a\n    check: [x, {y: [y1]}, x, {y: [y2, y1]}, {x: [x1]}, {z: [x]}]\n")
    assert one.pipelines["check"] == tree(
        JobNode("x", tree("x1")), JobNode("y", tree("y1", "y2")), JobNode("z", tree("x"))
    )


def test_templates_come_in_the_order_of_their_calls_then_the_projects_own_jobs(
    project: Callable[[str], Project],
) -> None:
    one = project("""\
project-templates:
  - {name: first, check: [a, {b: [b1]}], gate: [a]}
  - {name: second, check: [c, {b: [b2]}]}
projects:
  - name: p
    check: [{b: [b3]}, d]
    template: [{name: second}, {name: first}]
    merge-mode: cherry-pick
""")
    assert one.pipelines == {"check": tree("c", JobNode("b", tree("b2", "b1", "b3")), "a", "d"), "gate": tree("a")}
    assert one.merge_mode == "cherry-pick"


def test_parameters_are_filled_in_leaves_and_in_parents(project: Callable[[str], Project]) -> None:
    one = project("""\
project-templates:
  - name: t
    check: ['{name}-{kind}', {'{branch}-{{x}}': ['{name}-child']}]
projects:
  - name: deep/path/proj
    template: [{name: t, kind: lint, branch: main}]
""")
    assert one.pipelines["check"] == tree("proj-lint", JobNode("main-{x}", tree("proj-child")))


def test_parameters_that_occur_only_in_parents_must_be_given(refused: Refuse) -> None:
    text = HEAD + "project-templates:\n  - {name: t, check: [{'{parent}': [child]}]}\nprojects:\n"
    assert refused(text + "  - {name: p, template: [{name: t}]}\n") == [
        "7:26: required key not provided: 'parent' (template t has this parameter)"
    ]


def test_a_template_can_reach_nothing_but_its_parameters(refused: Refuse) -> None:
    text = (
        HEAD + "project-templates:\n  - {name: t, check: ['{name.__class__}', '{name!r}', '{0}', '{}']}\nprojects: []\n"
    )
    problems = refused(text)
    assert [problem.split(":")[:2] for problem in problems] == [["5", "23"], ["5", "43"], ["5", "55"], ["5", "62"]]
    assert all("only plain {parameter} is allowed" in problem for problem in problems)


def test_parameters_that_give_no_job_name_are_a_mistake_of_the_call(refused: Refuse) -> None:
    text = HEAD + "project-templates:\n  - {name: t, check: ['{a}']}\nprojects:\n"
    assert refused(text + "  - name: p\n    template:\n      - {name: t, a: 'x y'}\n") == [
        "9:9: template t: the job name would be 'x y', which has white space or is empty"
    ]


def test_more_jobs_than_can_be_handled_are_a_mistake(refused: Refuse) -> None:
    jobs = ", ".join(f"job-{number}" for number in range(20_000))
    calls = "".join(f"  - {{name: p{number}, template: [{{name: t}}]}}\n" for number in range(60))
    problems = refused(HEAD + f"project-templates:\n  - {{name: t, check: [{jobs}]}}\nprojects:\n{calls}")
    assert problems == ["57:5: from here on there are more than 1,000,000 jobs in all projects"]


def test_a_broken_template_is_told_once_and_not_at_each_use(refused: Refuse) -> None:
    text = HEAD + "project-templates:\n  - {name: t, check: [a b, '{x}']}\nprojects:\n"
    problems = refused(text + "".join(f"  - {{name: p{number}, template: [{{name: t}}]}}\n" for number in range(3)))
    assert [problem.split(":")[:2] for problem in problems] == [["5", "23"]]
