"""Python files of the site are looked through when the layout is loaded, and not run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from zuul_launcher.layout.load import Loaded, load
from zuul_launcher.yamlfile.problems import FileErrors

TEXT = """\
includes:
  - python-file: functions.py
pipelines: []
jobs:
  - {name: ^.*$, parameter-function: set_parameters}
projects: []
"""


@pytest.mark.parametrize(
    "code",
    [
        "def set_parameters(item, params): pass",
        "async def set_parameters(item, params): pass",
        "class set_parameters: pass",
        "from os.path import join as set_parameters",
        "import set_parameters.deeper",
        "set_parameters = lambda item, params: None",
        "other, (set_parameters, *more) = 1, (2, 3)",
        "set_parameters: object = print",
        "if 1:\n    pass\nelse:\n    def set_parameters(item, params): pass",
        "try:\n    pass\nexcept ValueError:\n    def set_parameters(item, params): pass",
        "with open('x') as set_parameters:\n    pass",
        "for set_parameters in ():\n    pass",
    ],
)
def test_a_function_is_known_by_whatever_binds_its_name(
    code: str, tmp_path: Path, loaded: Callable[[str], Loaded]
) -> None:
    (tmp_path / "functions.py").write_text(code + "\n")
    assert loaded(TEXT).layout.includes == (str(tmp_path / "functions.py"),)


def test_names_inside_functions_are_not_known(tmp_path: Path, refused: Callable[[str], list[str]]) -> None:
    (tmp_path / "functions.py").write_text("def other():\n    def set_parameters(item, params): pass\n")
    assert refused(TEXT) == ["5:38: Unable to find function set_parameters (define it in a python-file of `includes`)"]


def test_a_star_import_may_bring_any_name_and_is_warned_of(tmp_path: Path, loaded: Callable[[str], Loaded]) -> None:
    file = tmp_path / "functions.py"
    file.write_text("\nfrom site_code import *\n")
    warnings = [str(warning) for warning in loaded(TEXT).warnings]
    assert warnings == [f"{file}:2:1: a star import: parameter functions are not checked"]


def test_the_code_is_not_run(tmp_path: Path, loaded: Callable[[str], Loaded]) -> None:
    (tmp_path / "functions.py").write_text("def set_parameters(item, params): pass\nraise SystemExit(3)\n")
    assert loaded(TEXT).layout.jobs == {}


def test_mistakes_of_the_code_stand_beside_those_of_the_layout(tmp_path: Path) -> None:
    file, layout = tmp_path / "functions.py", tmp_path / "layout.yaml"
    file.write_text("def set_parameters(item, params):\n    print 'x'\n")
    layout.write_text(TEXT + "zuul: 1\n")
    with pytest.raises(FileErrors) as caught:
        load(layout, {})
    first, second = caught.value.problems
    assert (first.file, first.line, first.column) == (str(layout), 7, 1)
    assert (second.file, second.line, second.column, second.hint) == (str(file), 2, 5, "includes are Python 3")
    assert "parentheses" in second.message


def test_a_file_that_is_not_there_is_the_only_mistake(refused: Callable[[str], list[str]]) -> None:
    assert refused(TEXT) == ["2:18: python-file 'functions.py' can not be read: No such file or directory"]


def test_paths_start_where_the_layout_really_is(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.mkdir()
    (real / "functions.py").write_text("def set_parameters(item, params): pass\n")
    (real / "layout.yaml").write_text(TEXT)
    (link / "layout.yaml").symlink_to(real / "layout.yaml")
    assert load(link / "layout.yaml", {}).layout.includes == (str(real / "functions.py"),)
