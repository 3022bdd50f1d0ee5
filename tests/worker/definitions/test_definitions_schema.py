"""The published schemas take what the readers take, and refuse what can be seen without the other files."""

import json
from pathlib import Path
from typing import Any

import pytest
import test_jobs_file
import test_nodes_file
import yaml
from jsonschema import Draft202012Validator

from zuul_launcher.worker.definitions import jobsfile, jobsteps, nodesfile

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "zuul_launcher" / "worker" / "definitions"
JOBS: dict[str, Any] = json.loads((FOLDER / "schema.json").read_text())
NODES: dict[str, Any] = json.loads((FOLDER / "nodes-schema.json").read_text())

# What takes more than a schema: other files, other entries, the grammar of expressions, what is inside a key.
BEYOND = {
    "no expression",
    "label with colon",
    "unknown site",
    "unknown secret",
    "secret of another form",
    "second job of a name",
    "two of a name",
    "two sites of a name",
    "key of another type",
}
WRONG_JOBS = [(one[0], one[1]) for one in test_jobs_file.REFUSED if one[0] not in BEYOND]
WRONG_NODES = [(one[0], one[1]) for one in test_nodes_file.WRONG if one[0] not in BEYOND]


def complaints(schema: dict[str, Any], text: str) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(yaml.load(text, yaml.CSafeLoader))]


@pytest.mark.parametrize("schema", [JOBS, NODES], ids=["jobs", "nodes"])
def test_it_is_a_schema(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)


def test_the_samples_fit() -> None:
    assert complaints(JOBS, (ROOT / "etc" / "jobs.yaml-sample").read_text()) == []
    assert complaints(NODES, (ROOT / "etc" / "nodes.yaml-sample").read_text()) == []


def test_files_with_everything_in_them_fit() -> None:
    assert complaints(JOBS, test_jobs_file.FULL) == []
    assert complaints(NODES, test_nodes_file.FULL) == []
    assert complaints(NODES, test_jobs_file.NODES) == []


@pytest.mark.parametrize(("name", "addition"), WRONG_JOBS, ids=[one[0] for one in WRONG_JOBS])
def test_a_mistake_in_a_job_does_not_fit(name: str, addition: str) -> None:
    assert complaints(JOBS, test_jobs_file.jobs_with(addition)) != [], name


@pytest.mark.parametrize(("name", "text"), WRONG_NODES, ids=[one[0] for one in WRONG_NODES])
def test_a_mistake_in_nodes_does_not_fit(name: str, text: str) -> None:
    assert complaints(NODES, text) != [], name


def test_a_job_beside_the_mistake_is_no_mistake() -> None:
    assert complaints(JOBS, test_jobs_file.jobs_with("timeout: 1h")) == []


def _keys(part: str) -> set[str]:
    return set(JOBS["$defs"][part]["properties"])


def test_they_know_the_same_keys_as_the_readers() -> None:
    assert set(JOBS["properties"]) == set(jobsfile.KEYS)
    assert _keys("job") == set(jobsfile.READERS)
    assert _keys("defaults") == set(jobsfile.COMMON)
    for kind, beside in {**jobsteps.STEPS, **jobsteps.PUBLISHERS}.items():
        assert _keys(kind) == {kind, *beside}
    inner = {
        "trigger": jobsteps.TRIGGER_KEYS,
        "artifacts": jobsteps.ARTIFACTS_KEYS,
        "junit": jobsteps.JUNIT_KEYS,
        "copy": jobsteps.COPY_KEYS,
        "script": jobsteps.SCRIPT_KEYS,
    }
    for kind, keys in inner.items():
        assert set(JOBS["$defs"][kind]["properties"][kind]["properties"]) == set(keys)
    assert _keys("files") == set(jobsteps.FILES_KEYS)
    assert set(JOBS["$defs"]["condition"]["enum"]) == set(jobsteps.WHEN)
    job = JOBS["$defs"]["job"]["properties"]
    assert set(job["scm"]["properties"]["git"]["properties"]) == set(jobsfile.GIT_KEYS)
    assert set(job["keep"]["properties"]) == set(jobsfile.KEEP_KEYS)
    assert set(job["throttle"]["properties"]) == set(jobsfile.THROTTLE_KEYS)
    forms = JOBS["$defs"]["credential"]["anyOf"][1]["properties"]
    assert set(forms) == set(jobsteps.SECRET_PARTS)


def test_the_one_of_nodes_knows_the_same_keys_as_the_reader() -> None:
    assert set(NODES["properties"]) == set(nodesfile.KEYS)
    assert set(NODES["$defs"]["node"]["properties"]) == set(nodesfile.NODE_KEYS)
    assert set(NODES["$defs"]["site"]["properties"]) == set(nodesfile.SITE_KEYS)
