"""Layouts of the size of a large site: the figures are those that v2 and a plain count give."""

import shutil
from itertools import chain
from pathlib import Path

import pytest
import yaml
from support import site_layout

from zuul_launcher.layout.load import Loaded, content_hash, load

REAL = Path(__file__).parents[3] / "shared" / "data" / "site-layout.yaml"  # beside the project, where there is one
REAL_FIGURES = {"test": 2169, "gate-and-submit": 2007, "experimental": 1035, "gate-and-submit-l10n": 997, "php": 856}


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """The real layout, beside a stand-in for the file that it includes."""
    if not REAL.exists():
        pytest.skip(f"{REAL} is not on this machine")
    shutil.copy(REAL, tmp_path / "layout.yaml")
    (tmp_path / "parameter_functions.py").write_text(site_layout.FUNCTIONS)
    return tmp_path / "layout.yaml"


def check_figures(loaded: Loaded) -> None:
    layout = loaded.layout
    assert loaded.warnings == ()
    assert loaded.entries == 43_006
    assert len(layout.jobs) == 424
    assert len(layout.projects) == 2182
    assert len(layout.pipelines) == 23
    assert [one.kind for one in layout.pipelines.values()].count("dependent") == 6
    gate = layout.pipelines["gate-and-submit"].shared_queues
    assert len(gate) == 2007
    assert len(set(gate.values())) == 225
    trees = chain.from_iterable(project.pipelines.values() for project in layout.projects.values())
    nodes = list(chain.from_iterable(trees))
    assert sum(node.job == "noop" for node in nodes) == 697
    assert sum(bool(node.children) for node in nodes) == 4


def test_the_real_layout_has_its_figures(real: Path) -> None:
    loaded = load(real, {"gerrit": "gerrit"})
    check_figures(loaded)
    for pipeline, expected in REAL_FIGURES.items():
        assert sum(pipeline in project.pipelines for project in loaded.layout.projects.values()) == expected
    assert len(loaded.layout.pipelines["test"].triggers[0].emails) == 534  # type: ignore[union-attr]  # Gerrit's


def test_the_made_up_layout_has_the_figures_of_the_real_one(tmp_path: Path) -> None:
    path = site_layout.write_site(tmp_path)
    check_figures(load(path, site_layout.CONNECTIONS))
    plain = yaml.load(path.read_text(), yaml.CSafeLoader)
    assert len(plain["project-templates"]) == site_layout.TEMPLATES
    assert sum(len(project.get("template", ())) for project in plain["projects"]) == site_layout.TEMPLATE_USES
    names = [entry["name"] for entry in plain["jobs"]]
    assert (len(names), sum(name.startswith("^") for name in names)) == (81, 37)


def test_the_hash_changes_with_the_layout_and_with_what_it_includes(tmp_path: Path) -> None:
    path = site_layout.write_site(tmp_path)
    first = content_hash(load(path, site_layout.CONNECTIONS).layout)
    assert first == content_hash(load(path, site_layout.CONNECTIONS).layout)
    assert len(first) == 64

    path.write_text(path.read_text() + "# a comment changes nothing\n")
    assert content_hash(load(path, site_layout.CONNECTIONS).layout) == first

    (tmp_path / "parameter_functions.py").write_text(site_layout.FUNCTIONS + "\n")
    second = content_hash(load(path, site_layout.CONNECTIONS).layout)
    assert second != first

    path.write_text(path.read_text() + "  - name: one/more\n")
    assert content_hash(load(path, site_layout.CONNECTIONS).layout) not in (first, second)
