"""`validate` answers with what it prints and with its exit code."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from zuul_launcher import settings
from zuul_launcher.cli.validate import validate

SAMPLE = Path(__file__).parent.parent.parent / "etc" / "layout.yaml-sample"
SCHEMA = SAMPLE.parent.parent / "zuul_launcher" / "layout" / "schema.json"


def run(*arguments: str | Path, config: settings.Settings | None = None, color: bool = False) -> Result:
    return CliRunner().invoke(validate, [str(one) for one in arguments], obj=config, color=color)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "layout.yaml"
    path.write_text("pipelines: []\nprojects:\n  - {name: a, merge-mode: x}\n  - {}\n")
    return path


def test_a_valid_layout_is_summed_up() -> None:
    result = run(SAMPLE)
    assert result.exit_code == 0
    assert f"{SAMPLE} is valid: 3 pipelines, 1 projects, 5 jobs, 7 job entries" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("│")]
    assert [[cell for cell in row if cell != "│"] for row in rows] == [
        ["check", "independent", "1", "4", "0"],
        ["gate", "dependent", "1", "2", "1"],
        ["post", "independent", "1", "1", "0"],
    ]
    assert "connections named gerrit and smtp are assumed" in result.stderr


def test_all_mistakes_are_printed_with_their_places(wrong: Path) -> None:
    result = run(wrong)
    assert result.exit_code == 1
    assert result.stdout == (
        f"{wrong}:3:27: not a valid value (one of cherry-pick, merge, merge-resolve)\n"
        f"{wrong}:4:5: required key not provided: 'name'\n"
    )
    assert f"{wrong}: 2 mistakes" in result.stderr


def test_mistakes_are_coloured_on_a_terminal(wrong: Path) -> None:
    assert "\x1b[31mnot a valid value\x1b[0m" in run(wrong, color=True).stdout


def test_json_tells_the_same_to_programs(wrong: Path) -> None:
    refused = run(wrong, "--format", "json")
    assert refused.exit_code == 1
    document = json.loads(refused.stdout)
    assert (document["valid"], len(document["problems"])) == (False, 2)
    assert document["problems"][1] == {
        "file": str(wrong),
        "line": 4,
        "column": 5,
        "message": "required key not provided: 'name'",
        "hint": None,
    }

    accepted = run(SAMPLE, "--format", "json")
    assert accepted.exit_code == 0
    document = json.loads(accepted.stdout)
    assert (document["valid"], document["problems"], document["warnings"]) == (True, [], [])
    assert (document["projects"], document["jobs"], document["entries"]) == (1, 5, 7)
    assert document["pipelines"][1] == {"name": "gate", "manager": "dependent", "projects": 1, "jobs": 2, "queues": 1}


def test_the_layout_and_the_connections_are_those_of_zuul_conf(tmp_path: Path, wrong: Path) -> None:
    conf = tmp_path / "zuul.conf"
    conf.write_text(f"[zuul]\nlayout_config={wrong}\n[connection review]\ndriver=gerrit\nserver=r\nuser=z\n")
    config = settings.load(conf)
    assert run(config=config).exit_code == 1
    other = run(SAMPLE, config=config)
    assert other.exit_code == 1
    assert "source 'gerrit' is no connection to a Gerrit (zuul.conf has review)" in other.stdout


def test_warnings_do_not_make_a_layout_invalid(tmp_path: Path) -> None:
    path = tmp_path / "layout.yaml"
    path.write_text("pipelines: []\njobs: [{name: a, swift: {name: b}}]\nprojects: []\n")
    result = run(path)
    assert result.exit_code == 0
    assert f"{path}:2:25: warning: swift is ignored" in result.stdout


def test_a_question_that_can_not_be_asked_is_a_usage_error(tmp_path: Path) -> None:
    assert run().exit_code == 2
    assert run(tmp_path / "absent.yaml").exit_code == 2
    conf = tmp_path / "zuul.conf"
    conf.write_text("[zuul]\n")
    assert run(config=settings.load(conf)).exit_code == 2
    conf.write_text(f"[zuul]\nlayout_config={tmp_path}/absent.yaml\n")
    result = run(config=settings.load(conf))
    assert result.exit_code == 2
    assert "absent.yaml, which is no file" in result.stderr


def test_the_schema_is_printed_as_it_is_kept() -> None:
    result = run("--schema")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == SCHEMA.read_text()
