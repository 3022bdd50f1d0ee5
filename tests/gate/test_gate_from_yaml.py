"""Behaviour 10.7 from the file to the builds: layouts as a site writes them, loaded, and played."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import gate_layouts
from support.player import Player

from zuul_launcher.layout.load import load
from zuul_launcher.model.layout import Layout

SCENARIOS = """\
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit: [{event: patchset-created}]
    success:
      gerrit: {verified: 1}
    failure:
      gerrit: {verified: -1}
    merge-failure:
      gerrit: {}
  - name: post
    manager: IndependentPipelineManager
    trigger:
      gerrit: [{event: ref-updated, ref: '^(?!refs/).*$'}]
  - name: gate
    manager: DependentPipelineManager
    precedence: high
    trigger:
      gerrit: [{event: comment-added, approval: [approved: 1]}]
    start:
      gerrit: {verified: 0}
    success:
      gerrit: {verified: 2, submit: true}
    failure:
      gerrit: {verified: -2}
jobs:
  - name: ^.*-m$
    hold-following-changes: true
  - name: integration
    queue-name: integrated
  - name: P-tf
    files: '.*-requires'
projects:
  - name: P
    check: [P-m: [P-t1, P-t2, P-tf]]
    gate: [P-m: [P-t1, P-t2, P-tf]]
    post: [P-post]
  - name: P1
    check: [P1-m: [P1-t1, P1-t2, integration]]
    gate: [P1-m: [P1-t1, P1-t2, integration]]
  - name: P2
    check: [P2-m: [P2-t1, P2-t2, integration]]
    gate: [P2-m: [P2-t1, P2-t2, integration]]
  - name: Q
    check: [Q-only]
    gate: [Q-only]
"""
GATE = """\
pipelines:
  - name: gate
    manager: DependentPipelineManager
    trigger:
      gerrit: [{event: comment-added}]
    success:
      gerrit: {verified: 2, submit: true}
"""
Write = Callable[[str], Layout]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(text: str) -> Layout:
        path = tmp_path / "layout.yaml"
        path.write_text(text)
        return load(path, {"gerrit": "gerrit"}).layout

    return write


def test_the_layout_of_the_other_scenarios_is_what_this_text_says(written: Write) -> None:
    layout, known = written(SCENARIOS), gate_layouts.scenario_layout()
    known = gate_layouts.with_job(known, "integration", queue_name="integrated")
    assert layout.pipelines == known.pipelines
    assert layout.projects == known.projects
    assert layout.jobs == {name: job for name, job in known.jobs.items() if name != "noop"}  # which no project names


def test_a_regex_entry_with_skip_if_skips_its_jobs_where_it_matches_and_not_elsewhere(written: Write) -> None:
    layout = written(
        GATE
        + """\
jobs:
  - name: ^.*-docs$
    skip-if:
      - branch: ^stable
  - name: Q-docs
    voting: false
projects:
  - name: Q
    gate: [Q-unit, Q-docs, Q-more-docs]
"""
    )
    play = Player(layout)
    play.approve(play.upload("Q"), play.upload("Q", branch="stable/1"))
    play.drain()
    assert play.built("Q-unit") == ["1,1", "1,1 2,1"]
    assert play.built("Q-docs") == play.built("Q-more-docs") == ["1,1"]
    assert play.landed() == ["1", "2"]


def test_jobs_of_several_templates_with_their_parameters_and_of_the_project_all_run(written: Write) -> None:
    layout = written(
        GATE
        + """\
project-templates:
  - name: python
    gate: ['{name}-unit-{version}', '{name}-style']
  - name: publish
    gate: ['{name}-{kind}']
projects:
  - name: org/Q
    template:
      - {name: python, version: py3}
      - {name: publish, kind: docs}
    gate: [own]
"""
    )
    play = Player(layout)
    play.approve(play.upload("org/Q"))
    assert play.running() == ["Q-unit-py3 1,1", "Q-style 1,1", "Q-docs 1,1", "own 1,1"]
    play.drain()
    assert play.landed() == ["1"]


def test_a_parameter_function_gets_the_tags_of_all_entries_of_its_job(written: Write, tmp_path: Path) -> None:
    (tmp_path / "functions.py").write_text("def choose(item, job, params): pass\n")
    layout = written(
        GATE
        + """\
includes:
  - python-file: functions.py
jobs:
  - name: ^.*-tagged$
    tags: [big, old]
  - name: ^.*$
    parameter-function: choose
  - name: Q-tagged
    tags: new
projects:
  - name: Q
    gate: [Q-tagged, Q-plain]
"""
    )
    play = Player(layout)
    play.approve(play.upload("Q"))
    told = {build.payload.job: build.payload.context["tags"] for build in play.world.builds.values()}
    assert told == {"Q-tagged": ["big", "new", "old"], "Q-plain": []}


def test_an_entry_that_says_nothing_of_votes_and_holding_leaves_them_as_they_are(written: Write) -> None:
    layout = written(
        GATE
        + """\
jobs:
  - name: ^Q-quiet
    voting: false
    hold-following-changes: true
  - name: ^Q
    success-message: fine
  - name: Q-quiet-literal
    failure-message: bad
  - name: Q-quiet-loud
    voting: true
projects:
  - name: Q
    gate: [Q-quiet-literal, Q-quiet-loud, Q-quiet, Q-other]
"""
    )
    seen = {name: (job.voting, job.hold_following_changes) for name, job in layout.jobs.items()}
    assert seen == {
        "Q-quiet-literal": (False, True),
        "Q-quiet-loud": (True, True),
        "Q-quiet": (False, True),
        "Q-other": (True, False),
    }
