"""Sources on their way to a node: what is fetched and how often, what is refused, and other versions of Python."""

import ast
import logging
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from support import remote_code
from support.remoting_nodes import interpreters, other_user
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, connect_subprocess
from zuul_launcher.remoting.bootstrap import STUB, shared_modules
from zuul_launcher.remoting.errors import ModuleNotAvailable, NotOnAgent, PythonVersionMismatch, RemoteError
from zuul_launcher.remoting.modules import find

SECONDS = 60
MINE = sys.version_info.minor


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Writes modules that only this process can import; names are those of the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/").replace("/init", "/__init__") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def fetched(channel: Channel, package: str) -> list[str]:
    return [line for line in channel.dump()["modules"] if line.startswith(package)]


def test_a_function_of_a_module_that_only_the_controller_has_runs(fresh: Channel, make: Callable[..., Path]) -> None:
    make(only_here_a="def double(number):\n    return 2 * number\n")
    fresh.allow("only_here_a")
    assert fresh.call(import_module("only_here_a").double, 4) == 8
    assert fresh.call(remote_code.environment)["flags"] == [1, 1]


def test_a_package_with_relative_imports_is_fetched_once_for_each_agent(
    fresh: Channel, make: Callable[..., Path]
) -> None:
    make(
        tree_b__init="from .top import answer\n",
        tree_b__top="from . import leaf\nfrom .deep.er import factor\ndef answer():\n    return leaf.VALUE * factor",
        tree_b__leaf="VALUE = 6\n",
        tree_b__deep__init="# in between\n",
        tree_b__deep__er="from ..leaf import VALUE\nfactor = VALUE + 1\n",
    )
    fresh.allow("tree_b")
    function = import_module("tree_b").answer
    assert fresh.call(function) == 42
    first = fresh.dump()
    assert fetched(fresh, "tree_b") == ["tree_b", "tree_b.deep", "tree_b.deep.er", "tree_b.leaf", "tree_b.top"]
    assert fresh.call(function) == 42
    assert fresh.dump()["modules"] == first["modules"]


def test_an_agent_with_a_warm_cache_gets_hashes_only(
    make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cached_c="def five():\n    return 5\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seen = []
    for _ in range(2):
        with connect_subprocess([sys.executable]) as channel:
            channel.allow("cached_c")
            assert channel.call(import_module("cached_c").five) == 5
            seen.append(fetched(channel, "cached_c"))
    assert seen == [["cached_c"], ["cached_c (hash only)"]]
    (kept,) = [path for path in (tmp_path / "cache" / "zuul-remoting").iterdir() if b"five" in path.read_bytes()]
    assert kept.name == find("cached_c").digest
    kept.write_text("def five():\n    return 6\n")
    with connect_subprocess([sys.executable]) as channel:
        channel.allow("cached_c")
        with pytest.raises(ModuleNotAvailable, match="in the cache of the node is broken"):
            channel.call(import_module("cached_c").five)


def test_a_module_outside_of_the_ship_roots_is_refused_and_logged(
    fresh: Channel, make: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    make(private_d="def secret():\n    return 1\n")
    function = import_module("private_d").secret
    with pytest.raises(ModuleNotFoundError, match="private_d"):
        fresh.call(function)
    assert "fresh: the module 'private_d' was asked for, which is not under a ship root: refused" in caplog.text
    fresh.allow("private_d")
    assert fresh.call(function) == 1


def test_an_extension_module_is_not_available_and_says_why(fresh: Channel, make: Callable[..., Path]) -> None:
    folder = make(with_binary_e__init="def use():\n    from . import native\n    return native\n")
    (folder / "with_binary_e" / "native.so").write_bytes(b"\x7fELF")
    fresh.allow("with_binary_e")
    with pytest.raises(ModuleNotAvailable, match=r"with_binary_e\.native cannot be sent: it is an extension module"):
        fresh.call(import_module("with_binary_e").use)


def test_the_traceback_of_a_shipped_module_shows_file_line_and_text(fresh: Channel, make: Callable[..., Path]) -> None:
    make(broken_f="def fail():\n    # a comment\n    raise LookupError('x')  # here it is\n")
    fresh.allow("broken_f")
    with pytest.raises(LookupError) as caught:
        fresh.call(import_module("broken_f").fail)
    text = str(caught.value.__cause__)
    assert 'File "<remote:broken_f>", line 3, in fail' in text
    assert "raise LookupError('x')  # here it is" in text


def test_a_module_by_value_needs_no_source_there(fresh: Channel, make: Callable[..., Path]) -> None:
    make(by_value_g="FACTOR = 3\n\ndef times(number):\n    return FACTOR * number\n")
    module = import_module("by_value_g")
    fresh.ship_by_value(module)
    assert fresh.call(module.times, 5) == 15
    assert fetched(fresh, "by_value_g") == []
    import cloudpickle

    assert "by_value_g" not in cloudpickle.list_registry_pickle_by_value()


def test_what_is_the_controllers_says_so_on_a_node(fresh: Channel) -> None:
    def reach() -> None:
        from zuul_launcher import remoting

        remoting.connect_subprocess()

    with pytest.raises(NotOnAgent, match="connect_subprocess is for the controller"):
        fresh.call(reach)


@pytest.mark.parametrize("minor", range(8, 16))
def test_nodes_of_other_python_versions_run_functions_of_modules(minor: int) -> None:
    if minor not in interpreters():
        pytest.skip(f"no Python 3.{minor} on PATH or in pyenv")
    with connect_subprocess([interpreters()[minor]], name=f"python 3.{minor}") as channel:
        channel.allow("support.remote_code")
        assert channel.info.python[1] == minor
        assert channel.call(remote_code.report, "x").parts[0].name == "inner"
        counted: list[str] = []
        channel.call(remote_code.write_lines, _sink(counted), 3)
        assert "".join(counted) == "line 0\nline 1\nline 2\n"
        with pytest.raises(RemoteError):
            channel.call(remote_code.fail, "unknown")
        if minor == MINE:
            assert channel.call(lambda: minor) == minor
        else:
            with pytest.raises(PythonVersionMismatch, match=rf"controller 3\.{MINE}, agent 3\.{minor}: move "):
                channel.call(lambda: minor)
            assert channel.dump()["calls"] == []


def _sink(lines: list[str]) -> object:
    from zuul_launcher.remoting import LogSink

    return LogSink(lines.append)


def test_all_that_is_sent_to_a_node_is_python_3_8() -> None:
    names = shared_modules()
    assert "zuul_launcher.remoting.channel" in names
    for name in [*names, "zuul_launcher.remoting.agent"]:
        if name != "zuul_launcher":
            ast.parse(find(name).source, name, feature_version=(3, 8))
    ast.parse(STUB.format(length=1, digest="0" * 64), feature_version=(3, 8))
    if 8 in interpreters():
        for name in [*names, "zuul_launcher.remoting.agent"]:
            compiled = subprocess.run(
                [
                    interpreters()[8],
                    "-I",
                    "-S",
                    "-c",
                    "import sys; compile(sys.stdin.read(), sys.argv[1], 'exec')",
                    name,
                ],
                input=find(name).source,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
            assert compiled.stderr == ""


def test_all_that_is_sent_to_a_node_needs_the_standard_library_only() -> None:
    for name in [*shared_modules(), "zuul_launcher.remoting.agent"]:
        for node in ast.walk(ast.parse(find(name).source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for imported in names:
                assert imported.partition(".")[0] in {*sys.stdlib_module_names, "zuul_launcher"}, f"{name}: {imported}"
                assert not imported.startswith("zuul_launcher") or imported.startswith("zuul_launcher.remoting")


def test_an_agent_of_another_user_who_can_write_nowhere_works_and_leaves_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not other_user():
        pytest.skip("needs root, setpriv and a Python of this version that another user can run")
    before = _of_nobody()
    with caplog.at_level(logging.INFO), connect_subprocess(other_user(), name="nobody") as channel:
        channel.allow("support.remote_code")
        assert channel.call(lambda: __import__("os").getuid()) == 65534
        assert channel.call(remote_code.add, 1, 1) == 2
        with pytest.raises(PermissionError):
            channel.call(Path.read_bytes, Path("/etc/shadow"))
        pid = channel.call(remote_code.pid)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the agent")
    assert _of_nobody() <= before


def _of_nobody() -> set[str]:
    with os.scandir(tempfile.gettempdir()) as entries:
        return {entry.name for entry in entries if entry.stat(follow_symlinks=False).st_uid == 65534}
