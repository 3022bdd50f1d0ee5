"""Data files of packages that are sent to nodes: those that are allowed, as `importlib.resources` gives them."""

import importlib.resources
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from support.remoting_nodes import interpreters

from zuul_launcher.remoting import Channel, connect_subprocess
from zuul_launcher.remoting.datafiles import MAX_BYTES, read_data

READ = """
from importlib import resources
def text(package, name):
    return resources.read_text(package, name)
def data(package, name):
    with resources.open_binary(package, name) as file:
        return file.read()
def names(package):
    return sorted(resources.contents(package))
def is_there(package, name):
    return resources.is_resource(package, name)
"""
BINARY = bytes(range(256)) * 300


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with files, which only this process can import."""
    folder = tmp_path / "with_data"
    (folder / "sub" / "deep").mkdir(parents=True)
    for module, source in (("__init__", "# it has data\n"), ("read", READ), ("sub/__init__", "# a part\n")):
        (folder / f"{module}.py").write_text(source)
    for name in ("schema.json", "secret.key", "sub/page.html", "sub/deep/leaf.html", "ü.txt"):
        (folder / name).write_text(f"content of {name}")
    (folder / "binary.bin").write_bytes(BINARY)
    (tmp_path / "outside.json").write_text("not for nodes")
    (folder / "link.json").symlink_to(tmp_path / "outside.json")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "with_data"
    for name in [name for name in sys.modules if name.partition(".")[0] == "with_data"]:
        del sys.modules[name]


@pytest.fixture(params=["mine", "oldest"])
def node(request: pytest.FixtureRequest) -> Iterator[Channel]:
    """A node of this Python, and of the oldest that is supported, which has an older `importlib.resources`."""
    if request.param == "oldest" and 8 not in interpreters():
        pytest.skip("needs python3.8")
    with connect_subprocess([sys.executable if request.param == "mine" else interpreters()[8]], name="node") as channel:
        yield channel


def test_files_that_are_allowed_are_read_as_on_the_controller(node: Channel, package: str) -> None:
    read = import_module(f"{package}.read")
    node.allow(package, data=["*.json", "*.bin", "*.txt", "sub/**/*.html"])
    assert node.call(read.text, package, "schema.json") == "content of schema.json"
    assert node.call(read.text, package, "ü.txt") == "content of ü.txt"
    assert node.call(read.data, package, "binary.bin") == BINARY
    assert node.call(read.text, f"{package}.sub", "page.html") == "content of sub/page.html"
    assert node.call(read.names, package) == ["binary.bin", "schema.json", "sub", "ü.txt"]
    assert node.call(read.is_there, package, "schema.json") is True
    assert node.call(read.is_there, package, "sub") is False


def test_others_are_not_and_the_error_says_what_to_do(
    node: Channel, package: str, caplog: pytest.LogCaptureFixture
) -> None:
    read = import_module(f"{package}.read")
    node.allow(package, data=["*.json"])
    for name in ("secret.key", "missing.json", "link.json"):
        with pytest.raises(FileNotFoundError, match=rf'channel\.allow\("{package}", data=\["{name}"\]\)'):
            node.call(read.text, package, name)
    assert f"node: the data file '{package}:secret.key' was asked for, which is not allowed: refused" in caplog.text
    node.allow(package, data=["secret.key"])
    assert node.call(read.text, package, "secret.key") == "content of secret.key"
    assert node.call(read.names, package) == ["schema.json", "secret.key"]


def test_a_file_is_sent_once(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read = import_module(f"{package}.read")
    with connect_subprocess([sys.executable]) as channel:
        channel.allow(package, data=["*.bin"])
        assert channel.call(read.data, package, "binary.bin") == BINARY
        before = channel.dump()["bytes out"]
        assert channel.call(read.data, package, "binary.bin") == BINARY
        assert channel.dump()["bytes out"] - before < len(BINARY) / 10
        assert f"{package}:binary.bin" in channel.dump()["modules"]


def test_paths_below_a_package_are_walked(package: str) -> None:
    import_module(package)

    def walk(name: str) -> list[object]:
        top = importlib.resources.files(name)
        page = top / "sub" / "deep" / "leaf.html"
        with importlib.resources.as_file(page) as path:
            copied = path.read_text()
        return [
            sorted(each.name for each in top.iterdir()),
            top.joinpath("sub").is_dir(),
            page.is_file(),
            page.read_text(encoding="utf-8"),
            page.open("rb").read(7),
            copied,
        ]

    with connect_subprocess([sys.executable]) as channel:
        channel.allow(package, data=["**/*.html", "*.json"])
        text = "content of sub/deep/leaf.html"
        assert channel.call(walk, package) == [["schema.json", "sub"], True, True, text, b"content", text]


@pytest.mark.parametrize("pattern", ["/etc/*", "../*", "a/../../b", ""])
def test_a_pattern_that_leads_out_of_the_package_is_refused(fresh: Channel, pattern: str) -> None:
    with pytest.raises(ValueError, match="the pattern"):
        fresh.allow("support", data=[pattern])
    with pytest.raises(TypeError, match="as a list"):
        fresh.allow("support", data="*.json")


@pytest.mark.parametrize("path", ["../outside.json", "/etc/passwd", "sub/../../outside.json", "link.json", "folder/x"])
def test_whatever_a_hostile_agent_asks_for_stays_below_the_package(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "package"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "outside.json").write_text("secret")
    (tmp_path / "x").write_text("secret")
    (folder / "link.json").symlink_to(tmp_path / "outside.json")
    (folder / "folder").symlink_to(tmp_path)
    assert read_data(folder, "", path, ["**", "**/*"]) is None
    assert read_data(folder, "", "", ["**", "**/*"]) == ""


def test_what_is_too_big_is_not_sent(tmp_path: Path) -> None:
    for size, is_sent in ((MAX_BYTES, True), (MAX_BYTES + 1, False)):
        with (tmp_path / "big").open("wb") as file:
            file.truncate(size)
        assert (read_data(tmp_path, "", "big", ["*"]) is not None) is is_sent
