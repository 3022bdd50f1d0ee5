"""A chain of 100 changes on 5,000 files: what an item costs in each merge mode, against merging all ahead of it again.

Run: python benchmarks/merger.py [ITEMS]. The second way is what Zuul v2 did for each item; it is extrapolated from 20
merges by git itself in a work tree: item n costs n of them. Both run in one go on one machine: look at the ratios.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.settings import MergerSettings
from zuul_launcher.merger.worker import answer

FILES = 5000


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def make_upstream(path: Path, items: int) -> None:
    """A project whose changes each edit four files and add one, all based on the first commit."""
    git(path, "init", "--quiet", "--bare")
    who = b"committer A <a@b> 1700000000 +0000\ndata 1\nm"

    def name(number: int) -> bytes:
        return b"d%d/e%d/f%d" % (number % 50, number % 7, number)

    def content(number: int, edited: int = -1) -> bytes:
        lines = [b"line %d of %d" % (line, number) for line in range(40)]
        if edited >= 0:
            lines[edited % 40] += b" edited"
        text = b"\n".join(lines) + b"\n"
        return b"data %d\n%s\n" % (len(text), text)

    stream = [b"commit refs/heads/master\nmark :1\n%s\n" % who]
    stream += [b"M 100644 inline %s\n%s" % (name(number), content(number)) for number in range(FILES)]
    for item in range(items):
        stream.append(b"commit refs/changes/%d/%d/1\n%s\nfrom :1\n" % (item % 100, item, who))
        # One file is edited by all of them in turn, so that contents must be merged too.
        edits = [0, *(1 + item * 3 + number for number in range(3))]
        stream += [b"M 100644 inline %s\n%s" % (name(n), content(n, item * 9)) for n in edits if n or item < 4]
        stream.append(b"M 100644 inline new%d\n%s" % (item, content(item)))
    git(path, "fast-import", "--quiet", stdin=b"".join(stream))


def chain(upstream: Path, items: int, mode: int) -> list[dict[str, Any]]:
    return [
        {
            "project": "project",
            "url": upstream.as_uri(),
            "merge_mode": mode,
            "refspec": f"refs/changes/{number % 100}/{number}/1",
            "branch": "master",
            "ref": f"Z{mode}x{number}",
            "number": number,
            "patchset": 1,
        }
        for number in range(items)
    ]


def timed(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def ours(upstream: Path, folder: Path, items: int, mode: int) -> list[float]:
    """Seconds for each item of the chain, asked for one by one as the scheduler does, with fetch and publication."""
    settings = MergerSettings(
        git_dir=folder / f"git{mode}", zuul_url="", gearman_server="", environment=os.environ, allow_file=True
    )
    merger = Merger(settings)
    update = {"project": "project", "url": upstream.as_uri()}
    answer(merger, "merger:update", json.dumps(update).encode())
    requests = chain(upstream, items, mode)
    seconds = []
    for number in range(items):
        argument = json.dumps({"items": requests[: number + 1]}).encode()
        begin = time.perf_counter()
        reply = json.loads(answer(merger, "merger:merge", argument))
        seconds.append(time.perf_counter() - begin)
        assert reply["merged"], reply
    merger.close()
    return seconds


def theirs(upstream: Path, folder: Path, merges: int) -> float:
    """Seconds for one fetch and merge -s resolve in a work tree, which v2 repeats for every item ahead."""
    git(folder, "clone", "--quiet", upstream.as_uri(), "work")
    work = folder / "work"
    git(work, "config", "user.name", "A")
    git(work, "config", "user.email", "a@b")
    seconds = []
    for number in range(merges):
        refspec = f"refs/changes/{number % 100}/{number}/1"

        def one(refspec: str = refspec) -> None:
            git(work, "reset", "--quiet", "--hard")
            git(work, "clean", "-xfdq")
            git(work, "fetch", "--quiet", "origin", refspec)
            git(work, "merge", "--quiet", "--no-edit", "-s", "resolve", "FETCH_HEAD")

        seconds.append(timed(one))
    return statistics.mean(seconds)


def main() -> None:
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        upstream = folder / "upstream"
        upstream.mkdir()
        make_upstream(upstream, items)
        again = theirs(upstream, folder, min(items, 20))
        whole = again * items * (items + 1) / 2
        print(f"one merge in a work tree: {again * 1000:.0f} ms; the chain merged again for each item: {whole:.0f} s")
        for mode, title in ((1, "merge"), (2, "merge -s resolve"), (3, "cherry-pick")):
            seconds = ours(upstream, folder, items, mode)
            print(
                f"{title:17} median {statistics.median(seconds) * 1000:.0f} ms an item, most {max(seconds) * 1000:.0f}"
                f" ms, chain {sum(seconds):.1f} s: {whole / sum(seconds):.0f} times less,"
                f" item {items} costs {seconds[-1] / seconds[items // 10]:.1f} times item {items // 10}"
            )


if __name__ == "__main__":
    main()
