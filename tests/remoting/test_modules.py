"""Sources on their way to a node: what is fetched and how often, what is refused, and other versions of Python."""

import ast
import datetime
import functools
import gc
import logging
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

import cloudpickle  # type: ignore[import-untyped]
import pytest
from support import remote_code
from support.remoting_nodes import Sshd, interpreters, other_user
from support.waiting import wait_until

from zuul_launcher.remoting import Channel, connect_ssh, connect_subprocess
from zuul_launcher.remoting.bootstrap import STUB, shared_modules
from zuul_launcher.remoting.errors import ModuleNotAvailable, NotOnAgent, PythonVersionMismatch, RemoteError
from zuul_launcher.remoting.modules import find, imports

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


@pytest.fixture(params=["subprocess", pytest.param("ssh", marks=pytest.mark.sshd)])
def agent(request: pytest.FixtureRequest) -> Iterator[Callable[[], Channel]]:
    """Opens channels to agents of their own, whose cache is that of the machine (subprocess) or empty (ssh)."""
    with ExitStack() as stack:

        def connect() -> Channel:
            if request.param == "subprocess":
                channel = connect_subprocess([sys.executable], name="fresh")
            else:
                server: Sshd = request.getfixturevalue("ssh_server")
                channel = connect_ssh(server.node(other_user() or (sys.executable,)), name="fresh")
            channel.allow("support.remote_code")
            return stack.enter_context(channel)

        yield connect


def fetched(channel: Channel, package: str) -> list[str]:
    return [line for line in channel.dump()["modules"] if line.startswith(package)]


def test_a_function_of_a_module_that_only_the_controller_has_runs(
    agent: Callable[[], Channel], make: Callable[..., Path]
) -> None:
    """D99"""
    make(only_here_a="def double(number):\n    return 2 * number\n")
    channel = agent()
    channel.allow("only_here_a")
    assert channel.call(import_module("only_here_a").double, 4) == 8
    assert channel.call(lambda: (sys.flags.isolated, sys.flags.no_site)) == (1, 1)


def test_a_package_with_relative_imports_is_fetched_once_for_each_agent(
    agent: Callable[[], Channel], make: Callable[..., Path]
) -> None:
    """D100"""
    fresh = agent()
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
    other = agent()
    other.allow("tree_b")
    assert other.call(function) == 42
    assert len(fetched(other, "tree_b")) == 5
    assert fresh.dump()["modules"] == first["modules"]


def test_threads_that_import_at_once_fetch_each_module_once(fresh: Channel, make: Callable[..., Path]) -> None:
    """D100"""
    imports = "".join(f"import many_h.leaf{number}\n" for number in range(10))
    leaves = {f"many_h__leaf{number}": f"VALUE = {number}  # of many_h\n" for number in range(10)}
    make(many_h__init="# of many_h\n", many_h__user=imports, **leaves)
    fresh.allow("many_h")

    def import_all() -> list[str]:
        import importlib
        import threading

        gate, failed = threading.Barrier(11), []

        def get(name: str) -> None:
            gate.wait()
            try:
                importlib.import_module(name)
            except Exception as error:
                failed.append(f"{name}: {error!r}")

        importlib.import_module("many_h")
        names = ["many_h.user", *(f"many_h.leaf{n}" for n in range(10))]
        threads = [threading.Thread(target=get, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return failed

    assert fresh.call(import_all, timeout=SECONDS) == []
    known = ["many_h", *(f"many_h.leaf{n}" for n in range(10)), "many_h.user"]
    assert fetched(fresh, "many_h") == known


def test_sources_are_looked_through_for_many_agents_at_once() -> None:
    """D100. ast.parse does not stand that: while garbage is collected, another thread may begin."""

    class Garbage:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            sum(range(50))

    def look_through() -> None:
        try:
            for _ in range(10):
                for _ in range(20):
                    Garbage()
                names.add(tuple(imports("subprocess", find("subprocess"))))
        except SystemError as error:
            failed.append(error)

    names: set[tuple[str, ...]] = set()
    failed: list[SystemError] = []
    before = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(50)
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=look_through) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.set_threshold(*before[0])
        sys.setswitchinterval(before[1])
    assert failed == []
    assert len(names) == 1


def test_an_agent_with_a_warm_cache_gets_hashes_only(
    make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D101"""
    make(cached_c__init="", cached_c__five="from . import inner\ndef five():\n    return inner.FIVE\n")
    make(cached_c__inner="FIVE = 5\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seen, sent = [], []
    for _ in range(2):
        with connect_subprocess([sys.executable]) as channel:
            channel.allow("cached_c")
            assert channel.call(import_module("cached_c.five").five) == 5
            assert channel.call(lambda: datetime.date.min.year) == 1  # cloudpickle is fetched too
            seen.append(channel.dump()["modules"])
            sent.append(channel.dump()["bytes out"])
    assert {"cached_c", "cached_c.five", "cached_c.inner", "cloudpickle"} <= set(seen[0])
    assert seen[1] == [f"{name} (hash only)" for name in seen[0]]
    assert sent[1] < sent[0] / 4


def test_a_copy_in_the_cache_that_is_not_what_its_name_says_is_not_used(
    make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(spoilt_i="def five():\n    return 5\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call() -> int:
        with connect_subprocess([sys.executable]) as channel:
            channel.allow("spoilt_i")
            result: int = channel.call(import_module("spoilt_i").five)
            return result

    assert call() == 5
    kept = tmp_path / "cache" / "zuul-remoting" / find("spoilt_i").digest
    kept.write_text("def five():\n    return 6\n")
    with pytest.raises(ModuleNotAvailable, match="in the cache of the node is broken: connect again"):
        call()
    assert call() == 5
    assert "return 5" in kept.read_text()


def test_a_cache_that_others_can_write_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "zuul-remoting").mkdir()
    (tmp_path / "zuul-remoting").chmod(0o770)
    with connect_subprocess([sys.executable]) as channel:
        channel.allow("support.remote_code")
        assert channel.call(remote_code.add, 1, 1) == 2
    assert list((tmp_path / "zuul-remoting").iterdir()) == []


def test_a_module_outside_of_the_ship_roots_is_refused_and_logged(
    agent: Callable[[], Channel], make: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """D102"""
    fresh = agent()
    make(private_d="def secret():\n    return 1\n")
    function = import_module("private_d").secret
    with pytest.raises(
        ModuleNotFoundError, match=r"^No module named 'private_d'; .*: channel\.allow\(\"private_d\"\)$"
    ):
        fresh.call(function)
    assert "fresh: the module 'private_d' was asked for, which is not under a ship root: refused" in caplog.text
    fresh.allow("private_d")
    assert fresh.call(function) == 1


def test_only_names_of_modules_that_are_here_can_be_allowed(fresh: Channel, make: Callable[..., Path]) -> None:
    with pytest.raises(TypeError, match=r"the name of a module, as a text: allow\('json.decoder'\)"):
        fresh.allow(import_module("json.decoder"))  # type: ignore[arg-type] # the mistake
    for typo in ("no_such_module_m", "json.no_such_module", "a word"):
        with pytest.raises(ModuleNotFoundError, match=f"^there is no module '{typo}' here") as caught:
            fresh.allow(typo)
        assert caught.value.name == typo
    assert find("late_m").status == "absent"
    make(late_m="def number():\n    return 5\n")
    fresh.allow("late_m")
    assert fresh.call(import_module("late_m").number) == 5


def test_what_to_do_about_a_missing_module_is_said_of_causes_too_and_only_where_it_helps(
    fresh: Channel, make: Callable[..., Path]
) -> None:
    """D102: modules that a callable itself imports, and those that a package should have."""
    make(half_j__init="")
    fresh.allow("half_j")

    def wrap() -> None:
        try:
            import no_such_module_k  # type: ignore[import-not-found]  # noqa: F401
        except ImportError as error:
            raise ValueError("wrapped") from error

    with pytest.raises(ValueError, match="wrapped") as caught:
        fresh.call(wrap)
    cause = caught.value.__cause__.__cause__  # type: ignore[union-attr]
    assert isinstance(cause, ModuleNotFoundError)
    assert str(cause).endswith('channel.allow("no_such_module_k")')
    for name in ("half_j.missing", "json.missing"):
        with pytest.raises(ModuleNotFoundError, match=rf"^No module named '{name}'$"):
            fresh.call(import_module, name)
    assert fresh.call(lambda: __import__("importlib.util").util.find_spec("no_such_module_k")) is None


def test_modules_that_are_no_source_are_not_available_and_say_why(fresh: Channel, make: Callable[..., Path]) -> None:
    """D103"""
    folder = make(with_binary_e__init="def use(name):\n    return __import__('with_binary_e.' + name)\n")
    (folder / "with_binary_e" / "native.so").write_bytes(b"\x7fELF")
    (folder / "with_binary_e" / "space").mkdir()
    (folder / "with_binary_e" / "odd.py").write_bytes(b"# coding: no-such-coding\n")
    with zipfile.ZipFile(folder / "packed.zip", "w") as archive:
        archive.writestr("zipped_e.py", "VALUE = 1")
    sys.path.append(str(folder / "packed.zip"))
    function = import_module("with_binary_e").use
    for package in ("with_binary_e", "zipped_e", "_cffi_backend"):
        fresh.allow(package)
    reasons = {
        "native": r"with_binary_e\.native cannot be sent: it is an extension module \(native\.so\)",
        "space": r"with_binary_e\.space cannot be sent: it is a namespace package",
        "odd": r"with_binary_e\.odd cannot be sent: it cannot be read \(unknown encoding",
    }
    try:
        for name, reason in reasons.items():
            with pytest.raises(ModuleNotAvailable, match=reason):
                fresh.call(function, name)
        with pytest.raises(ModuleNotAvailable, match="zipped_e cannot be sent: it is not a source file"):
            fresh.call(import_module, "zipped_e")
    finally:
        sys.path.remove(str(folder / "packed.zip"))
    with pytest.raises(ModuleNotAvailable, match="_cffi_backend cannot be sent: it is an extension module"):
        fresh.call(import_module, "_cffi_backend")
    assert fresh.call(remote_code.add, 1, 1) == 2


def test_a_source_with_a_mistake_is_told_to_who_imports_it(fresh: Channel, make: Callable[..., Path]) -> None:
    make(mistake_l__init="", mistake_l__bad="print 'of an older time'\n")
    fresh.allow("mistake_l")
    with pytest.raises(SyntaxError):
        fresh.call(import_module, "mistake_l.bad")
    assert fresh.call(remote_code.add, 1, 1) == 2


def test_the_traceback_of_a_shipped_module_shows_file_line_and_text(
    agent: Callable[[], Channel], make: Callable[..., Path]
) -> None:
    """D104"""
    channel = agent()
    make(broken_f="def fail():\n    # a comment\n    raise LookupError('x')  # here it is\n")
    channel.allow("broken_f")
    with pytest.raises(LookupError) as caught:
        channel.call(import_module("broken_f").fail)
    text = str(caught.value.__cause__)
    assert 'File "<remote:broken_f>", line 3, in fail' in text
    assert "raise LookupError('x')  # here it is" in text


def test_a_module_by_value_needs_no_source_there(fresh: Channel, make: Callable[..., Path]) -> None:
    make(by_value_g="FACTOR = 3\n\ndef times(number):\n    return FACTOR * number\n")
    module = import_module("by_value_g")
    fresh.ship_by_value(module)
    assert fresh.call(module.times, 5) == 15
    assert fetched(fresh, "by_value_g") == []
    assert "by_value_g" not in cloudpickle.list_registry_pickle_by_value()


def test_a_module_by_value_travels_so_over_its_own_channel_only(fresh: Channel, make: Callable[..., Path]) -> None:
    """Also while it is being encoded for that one, by another thread."""
    make(by_value_m="def times(number):\n    return 3 * number\n")
    module = import_module("by_value_m")
    fresh.ship_by_value(module)
    during: list[str] = []

    class Pause:
        """Lets the other channel encode while this one does."""

        def __reduce__(self) -> object:
            def encode() -> None:
                with pytest.raises(ModuleNotFoundError, match="by_value_m"):
                    other.call(module.times, 1)
                during.append("done")

            threads.append(threading.Thread(target=encode))
            threads[-1].start()
            threads[-1].join(0.2)  # it waits for this one, so there is nothing to wait for
            return int, ()

    threads: list[threading.Thread] = []
    with connect_subprocess([sys.executable]) as other:
        assert fresh.call(lambda _, times=module.times: times(2), Pause()) == 6
        for thread in threads:
            thread.join(SECONDS)
    assert during
    assert len(during) == len(threads)


def test_what_is_the_controllers_says_so_on_a_node(fresh: Channel) -> None:
    def reach() -> None:
        from zuul_launcher import remoting

        remoting.connect_subprocess()

    with pytest.raises(NotOnAgent, match="connect_subprocess is for the controller"):
        fresh.call(reach)


@pytest.mark.parametrize("minor", range(8, 16))
def test_nodes_of_other_python_versions_run_functions_of_modules(minor: int) -> None:
    """D105"""
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
            before = channel.dump()["frames out"]
            for by_value in (lambda: minor, functools.partial(lambda: minor), _nested()):
                with pytest.raises(PythonVersionMismatch, match=rf"controller 3\.{MINE}, agent 3\.{minor}: move "):
                    channel.call(by_value)
            assert channel.dump()["frames out"] == before
            assert channel.dump()["calls"] == []
            assert channel.call(functools.partial(remote_code.add, 1), 2) == 3


def _nested() -> Callable[[], int]:
    def inner() -> int:
        return 1

    return inner


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
