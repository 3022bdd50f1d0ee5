"""The published schema takes layouts that are right, and finds most of what is wrong with others."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from support import site_layout
from test_layout_defects import DEFECTS, Defect, layout_with

from zuul_launcher.layout import files, jobs, pipelines, triggers

ROOT = Path(__file__).parent.parent.parent
REAL = Path(__file__).parents[3] / "shared" / "data" / "site-layout.yaml"  # beside the project, where there is one
SCHEMA = json.loads((ROOT / "zuul_launcher" / "layout" / "schema.json").read_text())

# What takes more than a schema: other parts of the file, zuul.conf, regexes of Python, YAML itself.
BEYOND = {
    "two pipelines of one name",
    "source that is no connection",
    "unknown trigger",
    "ref of an event without one",
    "no regular expression",
    "unknown reporter",
    "unknown option of mail",
    "duplicate key",
    "python object",
    "alias without anchor",
    "two jobs of one name",
    "unknown function",
    "job name that is no regular expression",
    "two templates of one name",
    "braces that are no parameter",
    "parameter that is missing",
    "parameter too many",
    "unknown template",
    "two projects of one name",
    "two names for one queue",
    "template of an undefined pipeline",
    "undefined pipeline",
}
FOUND = [defect for defect in DEFECTS if defect.name not in BEYOND]


def complaints(text: str) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(yaml.load(text, yaml.CSafeLoader))]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_sample_fits() -> None:
    assert complaints((ROOT / "etc" / "layout.yaml-sample").read_text()) == []


def test_a_layout_of_the_size_of_a_site_fits() -> None:
    assert complaints(site_layout.site_layout()) == []


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not on this machine")
def test_the_layout_of_a_real_site_fits() -> None:
    assert complaints(REAL.read_text()) == []


def test_a_layout_with_a_bit_of_everything_fits() -> None:
    assert complaints(layout_with([])[0]) == []


def test_a_part_of_a_layout_fits() -> None:
    assert complaints("includes: [{yaml-file: more.yaml}]\njobs: [{name: unit}]\n") == []


def test_most_defects_can_be_found() -> None:
    assert len(FOUND) >= 20


@pytest.mark.parametrize("defect", FOUND, ids=lambda defect: defect.name)
def test_a_defect_does_not_fit(defect: Defect) -> None:
    assert complaints(layout_with([defect])[0]) != []


def test_it_knows_the_same_keys_as_the_program() -> None:
    parts = SCHEMA["$defs"]
    assert set(SCHEMA["properties"]) == set(files.KEYS)
    assert set(parts["pipeline"]["properties"]) == set(pipelines._KEYS)
    assert set(parts["filter"]["properties"]) == set(triggers._GERRIT_KEYS)
    assert set(parts["job"]["properties"]) == set(jobs._KEYS)
    assert parts["filter"]["properties"]["event"]["anyOf"][0]["enum"] == list(triggers.GERRIT_EVENTS)
