"""`migrate check` names what changes for a site, and where: no row too few, and none that does not touch it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import site_layout

from zuul_launcher.cli.main import main

ROOT = Path(__file__).parent.parent.parent
REAL = Path(__file__).parents[3] / "shared" / "data" / "site-layout.yaml"  # beside the project, where there is one
ROWS_OF_WIKIMEDIA = {1, 2, 3}  # behaviour.md §11.1: reject-approval, labels and tag, noop
PINNED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
SITE = f"""\
[gearman]
server=127.0.0.1
[zuul]
layout_config=layout.yaml
[connection gerrit]
driver=gerrit
server=review.example.com
user=zuul
host_key={PINNED}
event_delay=10
"""
PIPELINE = "pipelines:\n  - name: check\n    manager: IndependentPipelineManager\n"
GATE = "pipelines:\n  - name: gate\n    manager: DependentPipelineManager\n"
NO_TRIGGER = "    trigger: {}\n"


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zuul.conf").write_text(SITE)
    (tmp_path / "layout.yaml").write_text("pipelines: []\nprojects: []\n")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", "zuul.conf", "migrate", "check", *arguments])


def told(kind: str = "changes") -> list[tuple[str, int, int | None]]:
    """File, line and row."""
    document: dict[str, list[dict[str, Any]]] = json.loads(run("--format", "json").stdout)
    return [(one["file"], one["line"], one["row"]) for one in document[kind]]


def changes_of_layout() -> list[tuple[int, int | None]]:
    """Line and row."""
    return [(line, row) for file, line, row in told() if file == "layout.yaml"]


def rows_of_layout() -> set[int | None]:
    return {row for _, row in changes_of_layout()}


def test_the_real_layout_is_told_exactly_what_its_switch_depends_on(site: Path) -> None:
    if not REAL.exists():
        pytest.skip(f"{REAL} is not on this machine")
    shutil.copy(REAL, site / "layout.yaml")
    (site / "parameter_functions.py").write_text(site_layout.FUNCTIONS)
    assert rows_of_layout() == ROWS_OF_WIKIMEDIA
    lines = (site / "layout.yaml").read_text().splitlines()
    words = {1: "reject-approval:", 2: ("tag:", "verified:"), 3: "name: gate-and-submit"}
    for line, row in changes_of_layout():
        assert row is not None
        assert lines[line - 1].strip().startswith(words[row]), (line, row)
    assert run().exit_code == 0


def test_the_made_up_layout_of_that_kind_is_told_the_same(site: Path) -> None:
    site_layout.write_site(site)
    assert rows_of_layout() == ROWS_OF_WIKIMEDIA
    assert run().exit_code == 0


def test_a_site_that_nothing_changes_for_is_told_what_is_kept() -> None:
    result = run()
    assert result.exit_code == 0
    assert "row" not in result.stdout
    assert "kept:\n  zuul.conf:1: [gearman] is read as it is\n" in result.stdout
    assert "  layout.yaml:1: the layout is read as it is: 0 pipelines, 0 jobs, 0 projects\n" in result.stdout


LAYOUTS = {
    "reject": (PIPELINE + NO_TRIGGER + "    reject: {approval: [{code-review: -2}]}\n", [(5, 1)]),
    "tag": (PIPELINE + NO_TRIGGER + "    success:\n      gerrit: {verified: 1, tag: ci}\n", [(6, 2)]),
    "lower case": (GATE + NO_TRIGGER + "    success:\n      gerrit: {verified: 1, submit: true}\n", [(6, 2)]),
    "as in Gerrit": (GATE + NO_TRIGGER + "    success:\n      gerrit: {Verified: 1, submit: true}\n", []),
    "noop": (GATE + NO_TRIGGER + "projects: [{name: a, gate: [noop]}, {name: b, gate: [noop]}]\n", [(2, 3)]),
    "noop of one": (GATE + NO_TRIGGER + "projects: [{name: a, gate: [noop]}]\n", []),
    "parent": (
        PIPELINE + NO_TRIGGER + "jobs: [{name: one, branch: x}]\nprojects:\n  - name: a\n    check: [{one: [two]}]\n",
        [(7, 4)],
    ),
    "both": (
        PIPELINE + NO_TRIGGER + "jobs: [{name: ^.*, branch: x}]\nprojects:\n  - name: a\n    check: [{one: [two]}]\n",
        [],
    ),
    "no vote": (
        GATE + NO_TRIGGER + "jobs: [{name: one, voting: false}]\nprojects:\n  - name: a\n    gate: [one]\n",
        [(7, 6)],
    ),
    "regex": (PIPELINE + NO_TRIGGER + "jobs:\n  - name: ^a\n    attempts: 2\n    queue-name: q\n", [(7, 16), (8, 16)]),
    "no regex": (PIPELINE + NO_TRIGGER + "jobs:\n  - name: a\n    attempts: 2\n    queue-name: q\n", []),
    "branch of ref": (
        PIPELINE + "    trigger:\n      gerrit:\n        - event: ref-updated\n          branch: x\n",
        [(7, 17)],
    ),
    "branch": (PIPELINE + "    trigger:\n      gerrit:\n        - event: change-merged\n          branch: x\n", []),
    "times": (
        PIPELINE + "    trigger:\n      timer:\n        - time: 0 0 * 1 *\n        - time: 0 0 * * 1-5\n"
        "        - time: 0 0 * * mon\n",
        [(6, 20), (7, 20)],
    ),
    "two kinds": (PIPELINE + "    trigger:\n      timer: [{time: 0 0 * * *}]\n      gerrit: []\n", [(4, 21)]),
    "quotes": (PIPELINE + NO_TRIGGER + '    success-message: It is "good"\n', [(5, 22)]),
    "refs": (
        PIPELINE + "    trigger: {gerrit: [{event: ref-updated}]}\n    success:\n      gerrit: {verified: 1}\n",
        [(6, 23)],
    ),
    "disabled": (PIPELINE + NO_TRIGGER + "    disabled:\n      gerrit: {}\n", [(5, 24)]),
    "zuul": (
        PIPELINE + "    trigger:\n      zuul:\n        - event: [project-change-merged, parent-change-enqueued]\n",
        [(6, 27)],
    ),
    "two levels": (
        PIPELINE + NO_TRIGGER + "projects:\n  - name: a\n    check: [one, {two: [one]}]\n",
        [(6, 32)],
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_a_layout_says_is_found_where_it_stands(name: str, site: Path) -> None:
    text, expected = LAYOUTS[name]
    (site / "layout.yaml").write_text(text if "projects:" in text else text + "projects: []\n")
    assert run().exit_code == 0
    assert changes_of_layout() == expected


def test_what_zuul_conf_says_is_found_where_it_stands(site: Path) -> None:
    (site / "zuul.conf").write_text(
        SITE.replace("event_delay=10", "strip_branch_ref=0")
        + f"[connection second]\ndriver=gerrit\nserver=review.example.com\nuser=zuul\nhost_key={PINNED}\n"
        "[gearman_server]\nstart=true\nport=4731\n"
    )
    (site / "layout.yaml").write_text(PIPELINE + "    trigger:\n      gerrit: []\nprojects: []\n")
    assert told() == [
        ("zuul.conf", 3, None),
        ("zuul.conf", 5, 36),
        ("zuul.conf", 5, 40),
        ("zuul.conf", 10, 27),
        ("zuul.conf", 11, 36),
        ("zuul.conf", 11, 40),
        ("zuul.conf", 16, 35),
        ("zuul.conf", 18, 27),
        ("layout.yaml", 5, 18),
    ]


def test_what_is_not_supported_has_to_be_done_first(site: Path) -> None:
    unknown = SITE.replace(f"host_key={PINNED}", f"known_hosts={site}/known_hosts")
    (site / "zuul.conf").write_text(unknown + "[swift]\nauthurl=x\n")
    (site / "layout.yaml").write_text("pipelines: []\njobs:\n  - name: a\n    swift: {name: b}\nprojects: []\n")
    assert run().exit_code == 1
    assert told("unsupported") == [("zuul.conf", 5, 34), ("zuul.conf", 11, None), ("layout.yaml", 4, None)]

    (site / "zuul.conf").write_text(unknown)
    (site / "known_hosts").write_text(f"[review.example.com]:29418 {PINNED}\n")
    (site / "layout.yaml").write_text("pipelines: []\nprojects: []\n")
    assert told("unsupported") == []
    assert run().exit_code == 0


def test_a_layout_with_mistakes_is_told_all_of_them(site: Path) -> None:
    (site / "layout.yaml").write_text("pipelines: []\nprojects: [{name: a, merge-mode: x}, {}]\n")
    result = run()
    assert result.exit_code == 1
    assert "mistakes, for which this layout is refused:\n  layout.yaml:2:34: not a valid value" in result.stdout
    assert len(json.loads(run("--format", "json").stdout)["mistakes"]) == 2


def test_the_manual_explains_every_row_that_is_told() -> None:
    page = (ROOT / "doc" / "migrating.rst").read_text()
    rows = {row for _, expected in LAYOUTS.values() for _, row in expected} | {18, 27, 34, 35, 36, 40}
    assert {row for row in rows if f"\n   * - {row}\n" not in page} == set()


def test_what_stands_in_further_files_is_named_there(site: Path) -> None:
    more = site / "more.yaml"
    (site / "layout.yaml").write_text(
        "includes:\n  - yaml-file: more.yaml\n  - python-file: functions.py\n"
        "pipelines: []\nprojects: []\njobs:\n  - name: ^b.*$\n    attempts: 2\n"
    )
    (site / "functions.py").write_text("")
    more.write_text(
        f"# more\n{GATE}    trigger:\n      timer:\n        - time: '0 0 * 3 *'\n"
        "jobs:\n  - name: ^a.*$\n    attempts: 2\n"
    )
    assert [(file, line, row) for file, line, row in told() if file != "zuul.conf"] == [
        ("layout.yaml", 8, 16),
        (str(more), 7, 20),
        (str(more), 10, 16),
    ]
    kept = [(file, line) for file, line, _ in told("kept") if file != "zuul.conf"]
    assert kept == [("layout.yaml", 1), ("layout.yaml", 3)]
