"""The seed's own example: results are parsed where they are, and only the summary travels."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import nodes

from zuul_launcher.remoting import Channel
from zuul_launcher.remoting.filepath import FilePath
from zuul_launcher.remoting.junit import JUnitSummary, summarise_junit

FILES = 200
NOISE = "<system-out>" + "a line of output of some test\n" * 7000 + "</system-out>"  # 200 KB


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 MB in 200 files, of which each tenth has a failure."""
    folder = tmp_path_factory.mktemp("workspace")
    for number in range(FILES):
        bad = f'<failure message="no {number}">because</failure>' if number % 10 == 0 else ""
        (folder / f"module{number % 7}").mkdir(exist_ok=True)
        (folder / f"module{number % 7}" / f"TEST-{number:03}.xml").write_text(
            f'<testsuite name="suite {number}"><testcase classname="c" name="one" time="0.5">{bad}</testcase>'
            f'<testcase classname="c" name="two"/>{NOISE}</testsuite>'
        )
    return folder


@pytest.fixture(scope="module", params=nodes.CHANNELS)
def channel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel]:
    with nodes.opened(request.param, tmp_path_factory.mktemp("node")) as opened:
        assert opened is not None
        yield opened


def test_one_call_brings_a_summary_of_less_than_a_hundredth_of_the_bytes(channel: Channel, results: Path) -> None:
    """D135."""
    FilePath(channel, str(results)).act(summarise_junit, ["none"])  # its modules are there now
    before = channel.dump()
    found = FilePath(channel, str(results)).act(summarise_junit, ["**/TEST-*.xml"])
    after = channel.dump()
    assert after["frames out"] - before["frames out"] == 1
    assert after["bytes in"] - before["bytes in"] < 40_000_000 / 100
    assert (found.files, found.tests, found.failures, found.seconds) == (FILES, 2 * FILES, FILES // 10, 100.0)
    assert {case.message for case in found.failed} == {f"no {number}" for number in range(0, FILES, 10)}
    assert not found.has_passed


def fetched_and_summarised(folder: FilePath, work: Path) -> JUnitSummary:
    """The transparent way: the data move to the code."""
    for path in folder.list("**/TEST-*.xml"):
        copy = work / path.path.relative_to(folder.path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return summarise_junit(work, ["**/TEST-*.xml"])


def test_fetching_all_files_gives_the_same_summary_for_many_more_bytes(
    channel: Channel, results: Path, tmp_path: Path
) -> None:
    folder = FilePath(channel, str(results))
    before = channel.dump()
    fetched = fetched_and_summarised(folder, tmp_path)
    after = channel.dump()
    assert after["frames out"] - before["frames out"] > FILES
    assert after["bytes in"] - before["bytes in"] > 40_000_000
    assert fetched == folder.act(summarise_junit, ["**/TEST-*.xml"])


def test_a_hostile_file_on_the_node_is_a_problem_in_the_summary(channel: Channel, tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in zip("abcdefgh", "bcdefghi", strict=True))
    (tmp_path / "TEST-bomb.xml").write_text(f'<!DOCTYPE x [<!ENTITY a "a">{entities}]><testsuite>&i;</testsuite>')
    found = FilePath(channel, str(tmp_path)).act(summarise_junit, ["**/*.xml"])
    assert found == JUnitSummary(
        files=1, problems=(("TEST-bomb.xml", "it declares an entity, 'a', in line 1: refused"),)
    )
