"""A layout file in a directory of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from zuul_launcher.layout.load import Loaded, load
from zuul_launcher.yamlfile.problems import FileErrors

CONNECTIONS = {"gerrit": "gerrit", "other": "gerrit", "smtp": "smtp", "rows": "sql"}


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[str], Loaded]:
    """Loads a text as layout.yaml of tmp_path."""

    def load_text(text: str) -> Loaded:
        path = tmp_path / "layout.yaml"
        path.write_text(text)
        return load(path, CONNECTIONS)

    return load_text


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[str | bytes], list[str]]:
    """Loads a text that is wrong; gives `LINE:COLUMN: message (hint)` of each problem."""

    def refuse_text(text: str | bytes) -> list[str]:
        path = tmp_path / "layout.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(FileErrors) as caught:
            load(path, CONNECTIONS)
        return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]

    return refuse_text
