"""Breaks the rules of the gate one by one, in a copy: each must fail a test. Usage: mutants.py [--only N] [--jobs N]

A mutant first meets the scenarios (tests/gate, tests/model), then, if it lives, the games of tests/properties. Exit 1
if one survives, or if the code it changes is not there any more.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEADLINE = 300  # seconds, for one run of the tests
SCENARIOS = ("tests/gate", "tests/model")
GAMES = ("tests/properties/test_gate.py",)


@dataclass(frozen=True)
class Mutant:
    file: str  # in zuul_launcher/
    old: str
    new: str
    breaks: str


MUTANTS = [
    Mutant(
        "gate/settle.py",
        "if ahead_id != nnfi:",
        "if False:",
        "an item is tested on top of the nearest that does not fail",
    ),
    Mutant(
        "gate/settle.py", "if item.live and not failing:", "if item.live:", "nobody is tested on top of a failing item"
    ),
    Mutant(
        "gate/settle.py",
        "if _needs_failing(turn, pipeline, item, present):",
        "if False:",
        "what needs a failing change waits",
    ),
    Mutant("gate/settle.py", "if is_active(turn.state, queue, item):", "if True:", "only the window works"),
    Mutant(
        "gate/settle.py",
        "done = item.live and ahead_id is None and",
        "done = item.live and",
        "only the head is told how it ended",
    ),
    Mutant("gate/settle.py", "and (reasons or not _somebody_lands(turn, pipeline, queue))", "", "one lands at a time"),
    Mutant(
        "gate/settle.py",
        "(other.id in queue.items or queue_holding(turn.state, other) is None)",
        "other.id in queue.items",
        "nobody lands beside one that left its queue",
    ),
    Mutant(
        "gate/settle.py",
        "if not reasons and item.build_set.bypassed:",
        "if False:",
        "what others landed past is tested again",
    ),
    Mutant(
        "gate/settle.py", 'if item.reporting == "success" else nnfi', "", "a failure that is being told is not built on"
    ),
    Mutant(
        "gate/settle.py",
        "if not item.live and not followers(turn.state, queue, item):",
        "if False:",
        "copies leave with those that need them",
    ),
    Mutant(
        "gate/settle.py",
        "    if not missing and not reason:\n        return False",
        "    return False",
        "what needs a change that is gone leaves",
    ),
    Mutant(
        "gate/settle.py",
        "NOT_PREPARED if item.build_set.merge_error else CONFLICT",
        "CONFLICT",
        "a broken merger is no conflict",
    ),
    Mutant(
        "gate/builds.py",
        "elif build.result == SUCCESS:",
        "else:",
        "children wait for their parent",
    ),
    Mutant(
        "gate/builds.py",
        "if job.mutex is not None and job.mutex in turn.state.mutexes:",
        "if False:",
        "one build holds a mutex",
    ),
    Mutant(
        "gate/builds.py",
        '        build.result = "CANCELED"\n        _release(turn, build)',
        '        build.result = "CANCELED"',
        "a cancelled build frees its mutex",
    ),
    Mutant(
        "gate/builds.py",
        "    build.ended_at = event.at\n    _release(turn, build)",
        "    build.ended_at = event.at",
        "an ended build frees its mutex",
    ),
    Mutant(
        "gate/builds.py", "elif build.tries >= turn", "elif build.tries > turn", "a job runs `attempts` times at most"
    ),
    Mutant("gate/builds.py", "        item.build_set.tries[build.job] = build.tries\n", "", "tries are counted"),
    Mutant(
        "gate/builds.py", "if build is None or build.result != SUCCESS:", "if False:", "a job can hold those behind"
    ),
    Mutant(
        "gate/builds.py",
        "if build.uuid == event.build and build.result is None:",
        "if build.uuid == event.build:",
        "an ended build has ended",
    ),
    Mutant(
        "gate/builds.py",
        "if other.ahead in taken_back and other.reporting is None:",
        "if False:",
        "what is tested on top is taken back too",
    ),
    Mutant(
        "gate/builds.py",
        "        turn.do(Cancel(item=item.id, attempt=item.attempt, build=build.uuid))\n",
        "",
        "a discarded build is cancelled",
    ),
    Mutant(
        "gate/step.py",
        'item.attempt != event.attempt or item.build_set.merge != "asked"',
        'item.build_set.merge != "asked"',
        "a merge of an earlier attempt is ignored",
    ),
    Mutant(
        "gate/verdict.py",
        '    if item.build_set.merge == "failed":\n        return "merge-failure"\n',
        "",
        "a conflict is told as one",
    ),
    Mutant(
        "gate/verdict.py",
        'and pipeline.kind == "dependent" and not here.disabled',
        "and not here.disabled",
        "only a gate submits",
    ),
    Mutant(
        "gate/verdict.py",
        'pipeline.kind == "dependent" and not here.disabled',
        'pipeline.kind == "dependent"',
        "a disabled gate does not submit",
    ),
    Mutant(
        "gate/verdict.py",
        '    if verdict == "success":\n        here.failures = 0\n    elif',
        "    if",
        "a success begins the count of failures anew",
    ),
    Mutant(
        "gate/verdict.py", '    elif verdict != "merge-failure":', "    else:", "conflicts are not counted as failures"
    ),
    Mutant(
        "gate/verdict.py",
        "        reset(turn, queue, follower)\n",
        "        pass\n",
        "those behind a change that did not merge begin again",
    ),
    Mutant("gate/verdict.py", "        grow(queue, window)\n", "", "the window grows"),
    Mutant("gate/verdict.py", "    shrink(queue, window)\n", "", "the window shrinks"),
    Mutant(
        "gate/verdict.py",
        "        if item.ahead in on_top:",
        "        if True:",
        "what was not tested on top of what landed knows it",
    ),
    Mutant(
        "gate/verdict.py",
        "        if event.merged and item.pipeline in turn.state.pipelines:",
        "        if False:",
        "what landed after it left its queue counts",
    ),
    Mutant("gate/order.py", "max(window.floor, smaller)", "smaller", "the window has a floor"),
    Mutant(
        "gate/reconfigure.py",
        "    if item.ahead is not None and item.ahead not in queue.items:",
        "    if False:",
        "a split queue is tested again",
    ),
    Mutant(
        "gate/reconfigure.py",
        "(item, *followers(turn.state, old, item))",
        "(item,)",
        "followers of a dropped item begin again",
    ),
    Mutant(
        "gate/reconfigure.py",
        "            build.voting = turn.layout.jobs[job].voting\n",
        "            pass\n",
        "votes follow the layout",
    ),
    Mutant(
        "gate/reconfigure.py",
        "            cancel_build(turn, item, build)\n",
        "",
        "builds of removed jobs are cancelled",
    ),
    Mutant("gate/reconfigure.py", "if item.live else None", "", "a gate keeps no copies"),
    Mutant(
        "gate/requests.py",
        "order = [item for item in named if item.reporting is None]",
        "order: list[Item] = []",
        "the promoted go first",
    ),
    Mutant("gate/requests.py", "enqueued_at=item.enqueued_at)", "enqueued_at=None)", "promotion keeps the times"),
    Mutant(
        "gate/admit.py",
        '    if key in path:\n        return "it is part of a dependency cycle"\n',
        "    if len(path) > 50:\n        return None\n",
        "cycles do not enter",
    ),
    Mutant(
        "gate/admit.py",
        "            yield _admit_behind(turn, pipeline, subject, terms, queue)\n",
        "            pass\n",
        "an approved stack enters as a whole",
    ),
    Mutant(
        "gate/admit.py",
        "            if not other.current:",
        "            if False:",
        "an outdated patch set is not needed",
    ),
    Mutant(
        "gate/admit.py",
        "if terms.live and find_live(turn, pipeline.name, key):",
        "if False:",
        "a change stands in a pipeline once",
    ),
    Mutant(
        "gate/triggers.py",
        "return int(one.patchset) < int(other.patchset)",
        "return one.patchset < other.patchset",
        "patch sets are numbers",
    ),
    Mutant("gate/triggers.py", "pipeline.dequeue_on_new_patchset:", "True:", "a pipeline can keep old patch sets"),
    Mutant("gate/match.py", "len(files) > 1 and all(", "all(", "merge commits are not skipped"),
    Mutant(
        "gate/match.py",
        'if status not in ("NEED", "REJECT") or normal_label(label) not in allowed:',
        'if status not in ("NEED", "REJECT"):',
        "only labels of the gate may be missing",
    ),
    Mutant("model/reading.py", "outcome[parent] in (None, SUCCESS)", "True", "what stands below a failure is skipped"),
    Mutant(
        "model/reading.py",
        "result not in (None, SUCCESS) and is_voting(layout, item, job)",
        "result not in (None, SUCCESS)",
        "jobs without a vote do not fail a change",
    ),
    # (A late answer of a build needs no look at the attempt: the uuid is another one.)
]
IN_CI = (2, 6, 15, 35)


def copy_of_the_project(place: Path) -> Path:
    for name in ("zuul_launcher", "tests"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", place)
    return place


def passes(place: Path, tests: tuple[str, ...]) -> bool:
    """Do these tests of the copy pass?"""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "--timeout=60",
        "--timeout-method=thread",  # which ends the run wherever it is: a mutant may hang in a hook, too
    ]
    command += [str(place / test) for test in tests]
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the tests did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def fate(mutant: Mutant) -> str:
    """`scenarios` or `games`: who killed it; else `SURVIVED` or `DOES NOT APPLY`."""
    with tempfile.TemporaryDirectory() as directory:
        place = copy_of_the_project(Path(directory))
        path = place / "zuul_launcher" / mutant.file
        text = path.read_text()
        if text.count(mutant.old) != 1:
            return "DOES NOT APPLY"
        path.write_text(text.replace(mutant.old, mutant.new))
        if not passes(place, SCENARIOS):
            return "scenarios"
        return "SURVIVED" if passes(place, GAMES) else "games"


def unchanged_passes() -> bool:
    """Or else any mutant would seem to be killed."""
    with tempfile.TemporaryDirectory() as directory:
        return passes(copy_of_the_project(Path(directory)), SCENARIOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, action="append", help="the number of a mutant")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    numbers = arguments.only or list(range(len(MUTANTS)))
    if not unchanged_passes():
        sys.exit("the tests fail without any mutant")
    bad = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for number, end in zip(numbers, pool.map(fate, [MUTANTS[number] for number in numbers]), strict=True):
            mutant = MUTANTS[number]
            bad += end.isupper()
            print(f"{number:3} {end:15} {mutant.file:20} {mutant.breaks}", flush=True)
    print(f"{len(numbers) - bad} of {len(numbers)} killed")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
