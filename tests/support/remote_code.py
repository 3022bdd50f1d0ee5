"""Functions that tests of remoting run on nodes: valid Python 3.8, standard library and remoting only."""

from __future__ import annotations

import enum
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from zuul_launcher.remoting import (
    Pipe,
    callable_from_agent,
    check_cancelled,
    current_call,
    current_channel,
    sleep,
    transferable,
)
from zuul_launcher.remoting.errors import Cancelled

seen: list[Any] = []  # of this process
kept: dict[str, Any] = {}


@transferable
class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@transferable
@dataclass(frozen=True)
class Report:
    name: str
    colour: Colour
    parts: list[Report] = field(default_factory=list)


@dataclass
class Unmarked:
    name: str


@transferable
class KnownError(Exception):
    pass


class UnknownError(Exception):
    pass


class Adder:
    def __init__(self, first: int) -> None:
        self.first = first

    def __call__(self, second: int) -> int:
        return self.first + second


def add(first: int, second: int = 0) -> int:
    return first + second


def give(value: Any) -> Any:
    return value


def report(name: str) -> Report:
    return Report(name, Colour.BLUE, [Report("inner", Colour.RED)])


def unmarked() -> Any:
    return {"a": [1, Unmarked("x")]}


def pid() -> int:
    return os.getpid()


def fail(kind: str) -> None:
    if kind == "cause":
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    raise {"known": KnownError, "unknown": UnknownError}[kind]("about", 7)


def leave(status: Any) -> None:
    sys.exit(status)


def say(text: str) -> None:
    print(text, flush=True)


def remember(key: str, value: Any) -> None:
    kept[key] = value


def forget(key: str) -> None:
    del kept[key]


def recall(key: str, method: str) -> Any:
    return getattr(kept[key], method)()


class Numbered:
    """Notes on arrival, which is when a call begins to be prepared."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__dict__.update(state)
        seen.append(self.number)


def number_of(numbered: Numbered) -> int:
    return numbered.number


def take_seen() -> list[Any]:
    taken, seen[:] = list(seen), []
    return taken


def read_all(pipe: Pipe) -> bytes:
    return pipe.reader.read()


def read_some(pipe: Pipe, size: int) -> bytes:
    data = pipe.reader.read(size)
    pipe.reader.close()
    return data


def count_slowly(pipe: Pipe, blocks_between_pauses: int) -> list[int]:
    """Bytes that came, and by how many KiB the peak of this process's memory grew."""
    before, total, blocks = peak(), 0, 0
    while block := pipe.reader.read1(1 << 16):
        total += len(block)
        blocks += 1
        if blocks % blocks_between_pauses == 0:
            time.sleep(0.001)
    return [total, peak() - before]


def peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def write_zeros(pipe: Pipe, size: int) -> int:
    block = bytes(1 << 18)
    for _ in range(size // len(block)):
        pipe.writer.write(block)
    return size


def write_and_fail(pipe: Pipe, data: bytes) -> None:
    pipe.writer.write(data)
    raise ValueError("half way")


def write_and_pass_on_error(pipe: Pipe, data: bytes) -> None:
    pipe.writer.write(data)
    pipe.writer.error(OSError(28, "No space left on device", "/full"))


def write_and_die(pipe: Pipe, data: bytes) -> None:
    import signal

    pipe.writer.write(data)
    os.kill(os.getpid(), signal.SIGKILL)


def wait_in_vain(pipe: Pipe) -> None:
    """It never reads."""
    sleep(600)


def write_until_broken(pipe: Pipe) -> str:
    try:
        while True:
            pipe.writer.write(bytes(1 << 16))
    except BrokenPipeError:
        return "broken"


def write_lines(sink: Any, count: int, name: str = "line") -> None:
    for number in range(count):
        sink.write(f"{name} {number}\n")


def write_lines_in_threads(sink: Any, threads: int, count: int) -> None:
    workers = [threading.Thread(target=write_lines, args=(sink, count, f"thread {n}")) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def copy(source: Any, target: Any) -> int:
    size = 0
    while block := source.read(100_000):
        target.write(block)
        size += len(block)
    return size


def read_from(source: Any, size: int) -> bytes:
    return source.read(size)


def wait_for_cancel(proxy: Any) -> None:
    proxy.call("running")
    try:
        sleep(600)
    except BaseException as error:
        proxy.call(type(error).__name__)
        raise


def be_deaf(proxy: Any) -> None:
    try:
        proxy.call("running")
    except Cancelled:
        pass  # it hears nothing
    while current_call() is not None and not current_call().cancelled:  # type: ignore[union-attr]
        time.sleep(0.01)
    while not os.path.exists(kept["end of deafness"]):  # noqa: PTH110 - as code of others does
        time.sleep(0.01)


def poll_cancel() -> None:
    while True:
        check_cancelled()
        time.sleep(0.005)


def read_forever(pipe: Pipe, proxy: Any) -> None:
    proxy.call("running")
    pipe.reader.read()


def descend(proxy: Any, depth: int) -> int:
    """Calls back, which calls this again, and so on."""
    return 0 if depth == 0 else 1 + proxy.call(depth - 1)


def call_back(first: int) -> Any:
    return current_channel().call(marked, first)


def call_back_unmarked() -> Any:
    return current_channel().call(add, 1, 2)


def call_back_lambda() -> Any:
    return current_channel().call(lambda: 1)


@callable_from_agent
def marked(first: int) -> list[int]:
    return [first, os.getpid()]


def call_method(proxy: Any, name: str, *args: Any) -> Any:
    return getattr(proxy, name)(*args)


def are_equal(first: Any, second: Any) -> bool:
    return first == second and hash(first) == hash(second) and first is second


def keep_and_give(key: str, proxy: Any) -> Any:
    kept[key] = proxy
    return proxy


def run_child(seconds: int) -> int:
    """Starts a process that inherits what it can, and gives its number."""
    import subprocess

    child = subprocess.Popen(["sleep", str(seconds)])
    channel = current_channel()
    channel.on_close(lambda _: child.kill())
    return child.pid


class Resource:
    """Cannot be sent: it holds a lock."""

    def __init__(self, name: str) -> None:
        if not name:
            raise ValueError("a resource needs a name")
        self.name = name
        self.lock = threading.Lock()

    def close(self) -> None:
        seen.append(f"closed {self.name}")


def use(first: Any, second: Any) -> list[Any]:
    return [first.name, first is second]


def environment() -> dict[str, Any]:
    """What the agent has left behind so far, as far as it can be told."""
    return {"cwd": os.getcwd(), "files": sorted(os.listdir(".")), "flags": [sys.flags.isolated, sys.flags.no_site]}  # noqa: PTH208, PTH109
