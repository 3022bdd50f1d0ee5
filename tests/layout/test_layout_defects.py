"""Every mistake of a layout is reported, each at its place, all in one run and nothing else with them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from zuul_launcher.layout.load import load
from zuul_launcher.yamlfile.problems import FileErrors

CONNECTIONS = {"gerrit": "gerrit", "smtp": "smtp", "rows": "sql"}
Found = list[tuple[int, int, str, str | None]]  # line, column, message, hint
ProblemsOf = Callable[[str], Found]
MARK = "§"  # stands in front of what must be pointed at

PIPELINES, JOBS, TEMPLATES, PROJECTS, END = "pipelines", "jobs", "project-templates", "projects", ""


class Defect(NamedTuple):
    name: str
    section: str
    right: str
    wrong: str
    message: str
    hint: str | None = None


def pipeline(number: int, rest: str, manager: str = "    manager: IndependentPipelineManager\n") -> str:
    return f"  - name: p{number}\n{manager}{rest}"


def trigger(number: int, rest: str) -> str:
    return pipeline(number, f"    trigger:\n{rest}")


NO_TRIGGER = "    trigger: {}\n"

DEFECTS = [
    Defect("unknown key of a pipeline", PIPELINES, pipeline(1, NO_TRIGGER + "    description: x\n"),
           pipeline(1, NO_TRIGGER + f"    {MARK}descripton: x\n"),
           "extra keys not allowed: 'descripton'", "did you mean 'description'?"),
    Defect("pipeline without manager", PIPELINES, pipeline(2, NO_TRIGGER),
           pipeline(2, NO_TRIGGER, manager="").replace("name", MARK + "name"), "required key not provided: 'manager'"),
    Defect("unknown manager", PIPELINES, pipeline(3, NO_TRIGGER),
           pipeline(3, NO_TRIGGER, manager=f"    manager: {MARK}DependentPipelineManger\n"),
           "not a valid value", "did you mean 'DependentPipelineManager'?"),
    Defect("two pipelines of one name", PIPELINES, pipeline(4, NO_TRIGGER),
           pipeline(4, NO_TRIGGER) + f"  - name: {MARK}p4\n    manager: IndependentPipelineManager\n" + NO_TRIGGER,
           "Duplicate name: p4"),
    Defect("pipeline without trigger", PIPELINES, pipeline(5, NO_TRIGGER),
           pipeline(5, "").replace("name", MARK + "name"), "required key not provided: 'trigger'"),
    Defect("unknown precedence", PIPELINES, pipeline(6, NO_TRIGGER + "    precedence: high\n"),
           pipeline(6, NO_TRIGGER + f"    precedence: {MARK}urgent\n"), "not a valid value",
           "one of high, low, normal"),
    Defect("source that is no connection", PIPELINES, pipeline(7, NO_TRIGGER + "    source: gerrit\n"),
           pipeline(7, NO_TRIGGER + f"    source: {MARK}gerit\n"), "source 'gerit' is no connection to a Gerrit",
           "did you mean 'gerrit'?"),
    Defect("unknown trigger", PIPELINES, trigger(8, "      gerrit: []\n"), trigger(8, f"      {MARK}gitea: []\n"),
           "extra keys not allowed: 'gitea' is no trigger", "triggers are gerrit, timer, zuul"),
    Defect("trigger without event", PIPELINES, trigger(9, "      gerrit:\n        - event: comment-added\n"),
           trigger(9, f"      gerrit:\n        - {MARK}comment: recheck\n"), "required key not provided: 'event'"),
    Defect("unknown event", PIPELINES, trigger(10, "      gerrit:\n        - event: comment-added\n"),
           trigger(10, f"      gerrit:\n        - event: [change-merged, {MARK}coment-added]\n"), "not a valid value",
           "did you mean 'comment-added'?"),
    Defect("unknown key of a filter", PIPELINES, trigger(11, "      gerrit:\n        - event: comment-added\n"),
           trigger(11, f"      gerrit:\n        - event: comment-added\n          {MARK}brunch: x\n"),
           "extra keys not allowed: 'brunch'", "did you mean 'branch'?"),
    Defect("ref of an event without one", PIPELINES, trigger(12, "      gerrit:\n        - event: patchset-created\n"),
           trigger(12, f"      gerrit:\n        - event: patchset-created\n          ref: {MARK}^refs/tags\n"),
           "The event patchset-created does not include ref information, Zuul cannot use ref filter 'ref: ^refs/tags'"),
    Defect("no regular expression", PIPELINES, trigger(13, "      gerrit:\n        - event: patchset-created\n"),
           trigger(13, f"      gerrit:\n        - event: patchset-created\n          branch: [master, {MARK}'(x']\n"),
           "not a valid regular expression: missing ), unterminated subpattern at position 0"),
    Defect("empty message", PIPELINES, pipeline(14, NO_TRIGGER + "    merge-failure-message: No.\n"),
           pipeline(14, NO_TRIGGER + f"    merge-failure-message:{MARK}\n"), "expected str"),
    Defect("negative window", PIPELINES, pipeline(15, NO_TRIGGER + "    window: 0\n"),
           pipeline(15, NO_TRIGGER + f"    window: {MARK}-1\n"), "value must be at least 0"),
    Defect("window without floor", PIPELINES, pipeline(16, NO_TRIGGER + "    window-floor: 1\n"),
           pipeline(16, NO_TRIGGER + f"    window-floor: {MARK}0\n"), "value must be at least 1"),
    Defect("reject with what only require has", PIPELINES, pipeline(17, NO_TRIGGER + "    reject: {}\n"),
           pipeline(17, NO_TRIGGER + f"    reject:\n      {MARK}open: true\n"), "extra keys not allowed: 'open'"),
    Defect("unknown reporter", PIPELINES, pipeline(18, NO_TRIGGER + "    success: {gerrit: {}}\n"),
           pipeline(18, NO_TRIGGER + f"    success: {{{MARK}gerrti: {{}}}}\n"),
           "extra keys not allowed: 'gerrti' is no reporter", "did you mean 'gerrit'?"),
    Defect("reporter without options", PIPELINES, pipeline(19, NO_TRIGGER + "    success:\n      gerrit: {}\n"),
           pipeline(19, NO_TRIGGER + f"    success:\n      gerrit: {MARK}~\n"), "expected a dictionary"),
    Defect("unknown option of mail", PIPELINES, pipeline(20, NO_TRIGGER + "    failure: {smtp: {to: a@example.com}}\n"),
           pipeline(20, NO_TRIGGER + f"    failure: {{smtp: {{{MARK}too: a@example.com}}}}\n"),
           "extra keys not allowed: 'too'", "did you mean 'to'?"),
    Defect("no interval", PIPELINES, pipeline(21, NO_TRIGGER + "    require: {approval: [{newer-than: 24h}]}\n"),
           pipeline(21, NO_TRIGGER + f"    require: {{approval: [{{newer-than: {MARK}24hours}}]}}\n"),
           "'24hours' is no interval"),
    Defect("timer without time", PIPELINES, trigger(22, "      timer:\n        - time: '0 6 * * *'\n"),
           trigger(22, f"      timer:\n        - {MARK}{{}}\n"), "required key not provided: 'time'"),
    Defect("unknown event of ours", PIPELINES, trigger(23, "      zuul:\n        - event: project-change-merged\n"),
           trigger(23, f"      zuul:\n        - event: {MARK}change-merged\n"), "not a valid value"),
    Defect("vote that is no number", PIPELINES,
           trigger(24, "      gerrit:\n        - event: comment-added\n          approval: [{verified: 1}]\n"),
           trigger(24,
           f"      gerrit:\n        - event: comment-added\n          approval: [{{verified: {MARK}ok}}]\n"),
           "expected int"),
    Defect("duplicate key", PIPELINES, pipeline(25, NO_TRIGGER),
           pipeline(25, NO_TRIGGER + f"    {MARK}trigger: {{}}\n"),
           "duplicate key 'trigger'"),
    Defect("python object", PIPELINES, pipeline(26, NO_TRIGGER + "    description: x\n"),
           pipeline(26, NO_TRIGGER + f"    description: {MARK}!!python/name:os.system x\n"),
           "tag !!python/name:os.system is not allowed"),
    Defect("alias without anchor", PIPELINES, pipeline(27, NO_TRIGGER + "    description: x\n"),
           pipeline(27, NO_TRIGGER + f"    description: {MARK}*nowhere\n"),
           "alias *nowhere has no anchor &nowhere above"),
    Defect("unknown key of a job", JOBS, "  - {name: j1, voting: false}\n", f"  - {{name: j1, {MARK}vting: false}}\n",
           "extra keys not allowed: 'vting'", "did you mean 'voting'?"),
    Defect("attempts that are no number", JOBS, "  - {name: j2, attempts: 3}\n",
           f"  - {{name: j2, attempts: {MARK}many}}\n", "expected int"),
    Defect("two jobs of one name", JOBS, "  - name: j3\n", f"  - name: j3\n  - name: {MARK}j3\n", "Duplicate name: j3"),
    Defect("unknown function", JOBS, "  - {name: j4, parameter-function: set_parameters}\n",
           f"  - {{name: j4, parameter-function: {MARK}set_parameter}}\n", "Unable to find function set_parameter",
           "did you mean 'set_parameters'?"),
    Defect("job name that is no regular expression", JOBS, "  - name: ^j5.*\n", f"  - name: {MARK}^j5(.*\n",
           "not a valid regular expression: missing ), unterminated subpattern at position 3"),
    Defect("swift without name", JOBS, "  - {name: j6, swift: {name: logs}}\n",
           f"  - {{name: j6, swift: {MARK}{{container: logs}}}}\n", "required key not provided: 'name'"),
    Defect("unknown key of skip-if", JOBS, "  - {name: j7, skip-if: [{project: x}]}\n",
           f"  - {{name: j7, skip-if: [{{{MARK}projects: x}}]}}\n", "extra keys not allowed: 'projects'",
           "did you mean 'project'?"),
    Defect("voting that is no truth", JOBS, "  - {name: j8, voting: no}\n", f"  - {{name: j8, voting: {MARK}never}}\n",
           "expected bool", "write true or false"),
    Defect("job without name", JOBS, "  - {name: j9}\n", f"  - {MARK}{{voting: true}}\n",
           "required key not provided: 'name'"),
    Defect("template of an undefined pipeline", TEMPLATES, "  - name: t1\n    check: []\n",
           f"  - name: t1\n    {MARK}chekc: []\n", "extra keys not allowed: 'chekc'", "did you mean 'check'?"),
    Defect("two templates of one name", TEMPLATES, "  - name: t2\n", f"  - name: t2\n  - name: {MARK}t2\n",
           "Duplicate name: t2"),
    Defect("braces that are no parameter", TEMPLATES, "  - name: t3\n    check: ['a{{b}}']\n",
           f"  - name: t3\n    check: [{MARK}'a{{b']\n",
           "'a{b' can not be filled in: expected '}' before end of string"),
    Defect("undefined pipeline", PROJECTS, "  - {name: a1, check: []}\n", f"  - {{name: a1, {MARK}chek: []}}\n",
           "extra keys not allowed: 'chek'", "did you mean 'check'?"),
    Defect("white space in a job name", PROJECTS, "  - name: a2\n    check:\n      - unit\n      - lint\n",
           f"  - name: a2\n    check:\n      - {MARK}unit\n        - lint\n",
           "does not match regular expression ^\\S+$: 'unit - lint'"),
    Defect("unknown merge mode", PROJECTS, "  - {name: a3, merge-mode: merge-resolve}\n",
           f"  - {{name: a3, merge-mode: {MARK}rebase}}\n", "not a valid value",
           "one of cherry-pick, merge, merge-resolve"),
    Defect("parameter that is missing", PROJECTS, "  - {name: a4, template: [{name: python, version: '3'}]}\n",
           f"  - {{name: a4, template: [{MARK}{{name: python}}]}}\n", "required key not provided: 'version'"),
    Defect("parameter too many", PROJECTS, "  - {name: a5, template: [{name: plain}]}\n",
           f"  - {{name: a5, template: [{{name: plain, {MARK}version: '3'}}]}}\n", "extra keys not allowed: 'version'"),
    Defect("unknown template", PROJECTS, "  - {name: a6, template: [{name: plain}]}\n",
           f"  - {{name: a6, template: [{{name: {MARK}plian}}]}}\n", "unknown template 'plian'",
           "did you mean 'plain'?"),
    Defect("two projects of one name", PROJECTS, "  - name: a7\n", f"  - name: a7\n  - name: {MARK}a7\n",
           "Duplicate name: a7"),
    Defect("jobs that are no list", PROJECTS,
           "  - {name: a8, check: [unit]}\n", f"  - {{name: a8, check: {MARK}unit}}\n",
           "expected a list"),
    Defect("job that is a number", PROJECTS,
           "  - {name: a9, check: ['12']}\n", f"  - {{name: a9, check: [{MARK}12]}}\n",
           "expected str", "put it in quotes"),
    Defect("two names for one queue", JOBS, "  - {name: q1, queue-name: one}\n  - {name: q2, queue-name: one}\n",
           f"  - {{name: q1, queue-name: one}}\n  - {{name: q2, queue-name: {MARK}two}}\n",
           "More than one name assigned to change queue: one != two"),
    Defect("unknown section", END, "", f"{MARK}piplines: []\n", "extra keys not allowed: 'piplines'",
           "did you mean 'pipelines'?"),
]  # fmt: skip

ALWAYS = {
    PIPELINES: "includes:\n  - python-file: functions.py\npipelines:\n"
    "  - {name: check, manager: IndependentPipelineManager, trigger: {}}\n"
    "  - {name: gate, manager: DependentPipelineManager, trigger: {}}\n",
    JOBS: "jobs:\n",
    TEMPLATES: "project-templates:\n  - {name: python, check: ['py{version}']}\n  - {name: plain, check: [unit]}\n",
    PROJECTS: "projects:\n  - {name: b1, gate: [q1, shared]}\n  - {name: b2, gate: [q2, shared]}\n",
    END: "",
}


@pytest.fixture
def problems_of(tmp_path: Path) -> ProblemsOf:
    """What is reported of a layout: line, column, message, hint."""
    (tmp_path / "functions.py").write_text("def set_parameters(item, job, params):\n    pass\n")
    path = tmp_path / "layout.yaml"

    def problems(text: str) -> Found:
        path.write_text(text)
        try:
            load(path, CONNECTIONS)
        except FileErrors as error:
            return [(one.line, one.column, one.message, one.hint) for one in error.problems if one.file == str(path)]
        return []

    return problems


def layout_with(planted: list[Defect]) -> tuple[str, list[tuple[int, int, Defect]]]:
    """The text with these defects, and the place of each."""
    text, places = "", []
    for section, start in ALWAYS.items():
        text += start
        for defect in DEFECTS:
            if defect.section != section:
                continue
            if defect in planted:
                before, after = (text + defect.wrong).split(MARK)
                places.append((before.count("\n") + 1, len(before) - before.rfind("\n"), defect))
                text = before + after
            else:
                text += defect.right
    return text, places


def check_reported(found: Found, places: list[tuple[int, int, Defect]]) -> None:
    """Each at its place, with its words; and nothing else."""
    assert [place[:2] for place in found] == sorted(place[:2] for place in places)
    for (_, _, message, hint), (_, _, defect) in zip(found, sorted(places, key=lambda place: place[:2]), strict=True):
        assert message.startswith(defect.message)
        assert defect.hint is None or hint == defect.hint


def test_without_a_defect_the_layout_is_valid(problems_of: ProblemsOf) -> None:
    text, places = layout_with([])
    assert places == []
    assert problems_of(text) == []


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_each_defect_alone_is_reported_at_its_place(defect: Defect, problems_of: ProblemsOf) -> None:
    text, places = layout_with([defect])
    check_reported(problems_of(text), places)


def test_fifty_defects_at_once_are_all_reported_in_one_run(
    problems_of: ProblemsOf,
) -> None:
    assert len(DEFECTS) == 50
    text, places = layout_with(DEFECTS)
    check_reported(problems_of(text), places)
