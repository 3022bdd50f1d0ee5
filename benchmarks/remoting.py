"""Remoting beside execnet and mitogen: round trips, streamed data, memory of a stream. One process on this machine.

Run: make bench, which installs the other two (the extra `bench`), or python benchmarks/remoting.py [ROUNDS]. What is
not installed is left out, and named. A round has short turns, in which all alternate, so that all meet the same
noise; compare medians. On a busy machine look at the processor time too, which both sides of each spend.
Ours sends a fresh closure for each trip; the others send a plain message to code that sits there already (execnet), or
call a function of a module (mitogen). Streams are random blocks of 256 KiB, read and dropped there.
The bars: streamed 1.0 x execnet, trips 0.5 x execnet, both 1.5 x mitogen, 1 GiB in less than 16 MiB on either side.
Exit 1: one was missed.
"""

import importlib.util
import os
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import cycle, islice, permutations
from typing import Any, NamedTuple

from zuul_launcher.remoting import Channel, Pipe, connect_subprocess

ROUNDS = 7
TURNS = 6  # of each in a round: each order once
TRIPS = 300  # in a turn
BLOCK = os.urandom(256 << 10)
BLOCKS = 256  # in a turn
FEW_BLOCKS = 16  # for one that needs as long for them
MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
OTHERS = ("execnet", "mitogen")
# Our agents have sessions of their own, and Linux shares out a busy processor by sessions (autogroup): as all here.
APART = ["setsid", sys.executable]
TRIP_BARS = {"execnet": 0.5, "mitogen": 1.5}
STREAM_BARS = {"execnet": 1.0, "mitogen": 1.5}
MEMORY_BAR = 16  # MiB

# What execnet runs on the far side: echoes numbers; counts blocks until None.
EXECNET = """
import time
size = 0
for item in channel:
    if isinstance(item, bytes):
        size += len(item)
    elif item is None:
        channel.send(size)
        size = 0
    elif item == "processor":
        channel.send(time.process_time())
    else:
        channel.send(item + 1)
"""


class Cost(NamedTuple):
    """Seconds of the clock, and of the processors on both sides."""

    clock: float
    processor: float


def cost(work: Callable[[], object], there: Callable[[], float]) -> Cost:
    """`there` tells the processor time of the far side."""
    before, begin = there() + time.process_time(), time.perf_counter()
    work()
    clock = time.perf_counter() - begin
    return Cost(clock, there() + time.process_time() - before)


def drain(pipe: Pipe) -> int:
    size = 0
    while block := pipe.reader.read1(1 << 18):
        size += len(block)
    return size


def slow_drain(pipe: Pipe) -> list[int]:
    """Bytes, and by how many KiB the peak of the agent's memory grew."""
    import resource
    import time

    pipe.reader.read1(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size, blocks = 1, 0
    while block := pipe.reader.read1(1 << 18):
        size += len(block)
        blocks += 1
        if blocks % 64 == 0:
            time.sleep(0.002)
    return [size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]


def increment(number: int) -> int:
    """For mitogen."""
    return number + 1


def drain_mitogen(started: Any) -> int:
    """For mitogen: gives the other side where to send to, and counts what comes."""
    import mitogen.core

    receiver = mitogen.core.Receiver(started.context.router)
    started.send(receiver.to_sender())
    return sum(len(message.unpickle()) for message in receiver)


class Ours:
    name = "ours"

    @property
    def mebibytes(self) -> float:
        return BLOCKS * len(BLOCK) / MEBIBYTE

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def closures(self) -> None:
        call = self._channel.call
        for number in range(TRIPS):

            def closure() -> int:
                return number + 1  # noqa: B023 - it is called in this turn

            assert call(closure) == number + 1

    def stream(self) -> None:
        pipe = Pipe.to_remote()
        future = self._channel.call_async(drain, pipe)
        for _ in range(BLOCKS):
            pipe.writer.write(BLOCK)
        pipe.writer.close()
        assert future.result() == BLOCKS * len(BLOCK)

    def processor(self) -> float:
        return float(self._channel.call(time.process_time))

    def close(self) -> None:
        self._channel.close()


class Execnet:
    name = "execnet"

    @property
    def mebibytes(self) -> float:
        return BLOCKS * len(BLOCK) / MEBIBYTE

    def __init__(self) -> None:
        import execnet

        self._group = execnet.Group()
        gateway = self._group.makegateway(f"popen//python={' '.join(APART)}")
        self._channel = gateway.remote_exec(EXECNET)

    def closures(self) -> None:
        send, receive = self._channel.send, self._channel.receive
        for number in range(TRIPS):
            send(number)
            assert receive() == number + 1

    def stream(self) -> None:
        for _ in range(BLOCKS):
            self._channel.send(BLOCK)
        self._channel.send(None)
        assert self._channel.receive() == BLOCKS * len(BLOCK)

    def processor(self) -> float:
        self._channel.send("processor")
        return float(self._channel.receive())

    def close(self) -> None:
        self._group.terminate(timeout=5)


class Mitogen:
    name = "mitogen"

    @property
    def mebibytes(self) -> float:
        return FEW_BLOCKS * len(BLOCK) / MEBIBYTE

    def __init__(self) -> None:
        import mitogen.core
        import mitogen.master

        self._core = mitogen.core
        self._broker = mitogen.master.Broker()
        self._router = mitogen.master.Router(self._broker)
        self._context = self._router.local(python_path=APART)

    def closures(self) -> None:
        for number in range(TRIPS):
            assert self._context.call(increment, number) == number + 1

    def stream(self) -> None:
        started = self._core.Receiver(self._router)
        done = self._context.call_async(drain_mitogen, started.to_sender())
        sender = started.get().unpickle()
        for _ in range(FEW_BLOCKS):
            sender.send(self._core.Blob(BLOCK))
        sender.close()
        assert done.get().unpickle() == FEW_BLOCKS * len(BLOCK)

    def processor(self) -> float:
        return float(self._context.call(time.process_time))

    def close(self) -> None:
        self._broker.shutdown()
        self._broker.join()


def memory(channel: Channel) -> tuple[float, float]:
    """MiB by which the peaks grew, here and there, while 1 GiB went to a slow reader."""
    pipe = Pipe.to_remote()
    future = channel.call_async(slow_drain, pipe)
    pipe.writer.write(BLOCK)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(GIBIBYTE // len(BLOCK) - 1):
        pipe.writer.write(BLOCK)
    pipe.writer.close()
    size, there = future.result()
    assert size == GIBIBYTE
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, there / 1024


def installed() -> list[str]:
    """The other two, as far as they are here. Says how to get the rest."""
    missing = [name for name in OTHERS if importlib.util.find_spec(name) is None]
    for name in missing:
        print(f"{name} is not installed: that comparison is left out. To get it: make bench, or pip install {name}")
    return [name for name in OTHERS if name not in missing]


def measured(sides: list[Any], rounds: int) -> tuple[dict[str, list[Cost]], dict[str, list[Cost]]]:
    """What one trip and one MiB cost each side in each round. One round goes before them, to warm up."""
    trips: dict[str, list[Cost]] = {side.name: [] for side in sides}
    streams: dict[str, list[Cost]] = {side.name: [] for side in sides}
    for _ in range(rounds + 1):
        spent: dict[tuple[str, str], list[Cost]] = defaultdict(list)
        # Who comes after one that was busy waits longer for a processor: so every order has its turns.
        for order in islice(cycle(permutations(sides)), TURNS):
            for side in order:
                spent[side.name, "trips"].append(cost(side.closures, side.processor))
            for side in order:
                spent[side.name, "stream"].append(cost(side.stream, side.processor))
        for side in sides:
            trips[side.name].append(_each(spent[side.name, "trips"], TRIPS))
            streams[side.name].append(_each(spent[side.name, "stream"], side.mebibytes))
    return {name: costs[1:] for name, costs in trips.items()}, {name: costs[1:] for name, costs in streams.items()}


def _each(turns: list[Cost], count: float) -> Cost:
    return Cost(*(sum(part) / (len(turns) * count) for part in zip(*turns, strict=True)))


def report(title: str, unit: str, costs: dict[str, list[Cost]], bars: dict[str, float]) -> bool:
    """Prints medians; whether ours meets all bars."""
    print(f"{title}:")
    values = {name: [1 / cost.clock for cost in found] for name, found in costs.items()}
    ours = statistics.median(values["ours"])
    is_met = True
    for name, numbers in values.items():
        middle = statistics.median(numbers)
        spent = statistics.median(cost.processor for cost in costs[name]) * 1e6
        line = f"  {name:8} median {middle:,.0f}{unit}, best {max(numbers):,.0f}{unit}, processors {spent:,.0f} us each"
        if name in bars:
            is_met = is_met and ours >= bars[name] * middle
            missed = "" if ours >= bars[name] * middle else ", MISSED"
            line += f"; ours is {ours / middle:.2f} times that (bar: {bars[name]}{missed})"
        print(line)
    return is_met


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    others = installed()
    channel = connect_subprocess([sys.executable])
    here, there = memory(channel)  # first: what follows may raise the peaks, and growth below a peak is not seen
    sides = [Ours(channel), *(side() for side in (Execnet, Mitogen) if side.name in others)]
    trips, streams = measured(sides, rounds)
    for side in sides:
        side.close()
    is_met = report("round trips with a fresh closure", "/s", trips, TRIP_BARS)
    is_met = report("streamed to the agent", " MiB/s", streams, STREAM_BARS) and is_met
    print(f"1 GiB to a slow reader: peak memory grew by {here:.1f} MiB here, {there:.1f} MiB there (bar: {MEMORY_BAR})")
    sys.exit(not is_met or max(here, there) >= MEMORY_BAR)


if __name__ == "__main__":
    main()
