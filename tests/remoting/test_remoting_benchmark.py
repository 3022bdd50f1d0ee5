"""What benchmarks/remoting.py compares, and when it says that a bar was missed. Its numbers are for `make bench`."""

import configparser
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from zuul_launcher.remoting import connect_subprocess

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_of_remoting", ROOT / "benchmarks" / "remoting.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Side:
    mebibytes = 1.0

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self._calls = calls

    def closures(self) -> None:
        self._calls.append(f"{self.name} trips")

    def stream(self) -> None:
        self._calls.append(f"{self.name} stream")

    def processor(self) -> float:
        return 5.0


def test_seven_rounds_of_all_sides_alternate_in_every_order(benchmark: ModuleType) -> None:
    """D136."""
    calls: list[str] = []
    trips, streams = benchmark.measured([Side("ours", calls), Side("execnet", calls)], benchmark.ROUNDS)
    one = ["ours trips", "execnet trips", "ours stream", "execnet stream"]
    other = ["execnet trips", "ours trips", "execnet stream", "ours stream"]
    assert calls == [*one, *other] * (8 * benchmark.TURNS // 2)
    assert [len(numbers) for found in (trips, streams) for numbers in found.values()] == [7] * 4


@pytest.mark.parametrize(
    ("kind", "ours", "others", "is_met"),
    [
        ("STREAM_BARS", 100, {"execnet": 100, "mitogen": 66}, True),
        ("STREAM_BARS", 99, {"execnet": 100, "mitogen": 66}, False),
        ("STREAM_BARS", 100, {"execnet": 100, "mitogen": 67}, False),
        ("TRIP_BARS", 50, {"execnet": 100, "mitogen": 33}, True),
        ("TRIP_BARS", 49, {"execnet": 100, "mitogen": 32}, False),
        ("TRIP_BARS", 50, {"execnet": 100, "mitogen": 34}, False),
        ("TRIP_BARS", 50, {}, True),
    ],
)
def test_medians_are_held_against_the_bars(
    benchmark: ModuleType,
    kind: str,
    ours: float,
    others: dict[str, float],
    is_met: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """D136. One round that is far off changes nothing."""
    speeds = {name: [middle, 10_000, middle, 1, middle] for name, middle in {"ours": ours, **others}.items()}
    costs = {name: [benchmark.Cost(1 / speed, 0) for speed in found] for name, found in speeds.items()}
    assert benchmark.report("title", "/s", costs, getattr(benchmark, kind)) is is_met
    assert ("MISSED" in capsys.readouterr().out) is not is_met


def test_each_side_does_what_it_is_measured_by(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """D136. The memory bound too; with few bytes and trips."""
    monkeypatch.setattr(benchmark, "TRIPS", 5)
    monkeypatch.setattr(benchmark, "BLOCKS", 5)
    monkeypatch.setattr(benchmark, "GIBIBYTE", 64 << 20)
    with connect_subprocess([sys.executable]) as channel:
        for side in (benchmark.Ours(channel), benchmark.Execnet()):
            side.closures()
            side.stream()
            before = side.processor()
            side.closures()
            assert side.processor() > before
            if side.name != "ours":
                side.close()
        assert max(benchmark.memory(channel)) < benchmark.MEMORY_BAR


def test_a_missing_comparison_is_named_with_the_way_to_get_it() -> None:
    """D136. `make bench` installs both."""
    script = (
        f"import importlib.util, runpy; main = runpy.run_path({str(ROOT / 'benchmarks' / 'remoting.py')!r});"
        "importlib.util.find_spec = lambda name: None; print(main['installed']())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "execnet is not installed: that comparison is left out. To get it: make bench, or pip install execnet",
        "mitogen is not installed: that comparison is left out. To get it: make bench, or pip install mitogen",
        "[]",
    ]
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    wanted = settings["options.extras_require"]["bench"]
    assert re.findall(r"^(\w+) >=", wanted, re.MULTILINE) == ["execnet", "mitogen"]
    assert re.search(r"^EXTRAS_bench := .*\bbench\b.*\n", (makefile := (ROOT / "Makefile").read_text()), re.MULTILINE)
    assert "\nbench: .venv/installed-bench\n" in makefile
