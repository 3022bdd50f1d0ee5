"""The story of the demo, as data: three projects, their checks, eleven changes, and what is to come of each. Pure.

`lib` holds shell functions, `app` programs that use them, `docs` the manual of the programs. The three share a queue.
The checks are real: they run the programs, and take the other projects as they will be when the change lands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["merged", "failed", "conflict"]

AT_ONCE = 4  # changes of the gate that are built at the same time, at least

LAYOUT = """\
pipelines:
  - name: check
    description: Tests every patch set by itself.
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: patchset-created
    success:
      gerrit: {verified: 1}
    failure:
      gerrit: {verified: -1}

  - name: gate
    description: Tests approved changes on top of each other, and submits what passes.
    manager: DependentPipelineManager
    precedence: high
    trigger:
      gerrit:
        - event: comment-added
          approval:
            - code-review: 2
    start:
      gerrit: {verified: 0}
    success:
      gerrit: {verified: 2, submit: true}
    failure:
      gerrit: {verified: -2}

jobs:
  - name: unit
    queue-name: shop
  - name: style

projects:
  - name: lib
    check: [unit, style]
    gate: [unit, style]
  - name: app
    check: [unit, style]
    gate: [unit, style]
  - name: docs
    check: [unit, style]
    gate: [unit, style]
"""

CHECK = """\
# What the jobs run. JOB_NAME says which of them; the ZUUL_ variables say what is tested.
set -eux

beside() {  # fetches another project as it will be when this change lands: with the changes ahead, or as it is
    git init --quiet "$1"
    git -C "$1" fetch --quiet "$ZUUL_URL/$1" "$ZUUL_REF" 2>/dev/null ||
        git -C "$1" fetch --quiet "$GERRIT_GIT/$1.git" "$ZUUL_BRANCH"
    git -C "$1" checkout --quiet --detach FETCH_HEAD
}

case $JOB_NAME in
style)
    ! git grep --line-number --extended-regexp ' +$|.{120}' -- '*.sh' '*.txt'
    ;;
unit)
    . ./unit.sh
    ;;
esac
"""

PROJECTS: Mapping[str, Mapping[str, str]] = {
    "lib": {
        "check.sh": CHECK,
        "unit.sh": 'for test in *_test.sh; do sh -eux "$test"; done\n',
        "greet.sh": 'greet() { echo "$1, $2"; }\n',
        "greet_test.sh": '. ./greet.sh\ntest "$(greet Hello Ann)" = "Hello, Ann"\n',
        "shout.sh": "shout() { echo \"$1\" | tr '[:lower:]' '[:upper:]'; }\n",
        "shout_test.sh": '. ./shout.sh\ntest "$(shout Ann)" = "ANN"\n',
    },
    "app": {
        "check.sh": CHECK,
        "unit.sh": 'beside lib\nfor test in *_test.sh; do sh -eux "$test"; done\n',
        "hello.sh": '. lib/greet.sh\nWORD=Hello\ngreet "$WORD" "${1:-world}"\n',
        "hello_test.sh": "sh -eu hello.sh Ann | grep -q ', Ann$'\n",
    },
    "docs": {
        "check.sh": CHECK,
        "unit.sh": "beside app\nfor name in $(cat *.txt | grep -o '[a-z]*[.]sh'); do test -e \"app/$name\"; done\n",
        "manual.txt": "hello.sh NAME greets NAME.\n",
    },
}


@dataclass(frozen=True)
class Planned:
    """One change of the story."""

    name: str  # unique, never shown
    project: str
    owner: str
    title: str
    files: Mapping[str, str | None]
    needs: str = ""  # name of the change that its message depends on
    second: Mapping[str, str | None] = field(default_factory=dict)  # files of patch set 2, uploaded while 1 is built
    outcome: Outcome = "merged"
    note: str = ""  # why it comes out like that


# In the order of uploading, which gives them the numbers 1 to 11 on a new Gerrit.
CHANGES = (
    Planned(
        "whisper",
        "lib",
        "ann",
        "Add whisper",
        {
            "whisper.sh": "whisper() { echo \"$1\" | tr '[:upper:]' '[:lower:]'; }\n",
            "whisper_test.sh": '. ./whisper.sh\ntest "$(whisper Ann)" = "ann"\n',
        },
    ),
    Planned(
        "polite",
        "app",
        "ann",
        "Greet politely",
        {"hello.sh": '. lib/greet.sh\nWORD="Good day"\ngreet "$WORD" "${1:-world}"\n'},
    ),
    Planned("install", "docs", "ben", "Tell how to install", {"install.txt": "Copy hello.sh to your PATH.\n"}),
    Planned("silence", "lib", "ben", "Remove shout, nobody uses it", {"shout.sh": None, "shout_test.sh": None}),
    Planned(
        "goodbye",
        "app",
        "ann",
        "Take leave loudly",
        {
            "bye.sh": '. lib/shout.sh\nshout "Bye, $1"\n',
            "bye_test.sh": 'test "$(sh -eu bye.sh Ann)" = "BYE, ANN"\n',
        },
        outcome="failed",
        note="uses the function that a change ahead removes: each passes alone, not both",
    ),
    Planned(
        "cordial",
        "app",
        "ben",
        "Greet cordially",
        {"hello.sh": '. lib/greet.sh\nWORD=Welcome\ngreet "$WORD" "${1:-world}"\n'},
        outcome="conflict",
        note="changes the same line as a change ahead",
    ),
    Planned(
        "count",
        "lib",
        "ann",
        "Add count",
        {
            "count.sh": 'count() { echo "$#"; }\n',
            "count_test.sh": '. ./count.sh\ntest "$(count Ann Ben)" = 2\n',
        },
    ),
    Planned(
        "guests",
        "app",
        "ann",
        "Count the guests",
        {
            "guests.sh": '. lib/count.sh\ncount "$@"\n',
            "guests_test.sh": 'test "$(sh -eu guests.sh Ann Ben)" = 2\n',
        },
        needs="count",
        note="depends on a change of another project, and lands after it",
    ),
    Planned("reasons", "docs", "ben", "Say why to greet", {"why.txt": "Who is greeted smiles.\n"}),
    Planned(
        "examples",
        "docs",
        "ben",
        "Show an example",
        {"example.txt": "$ sh hello.sh Ann\n"},
        second={"example.txt": "$ sh hello.sh Ann\n$ sh hello.sh Ben\n"},
        note="got a new patch set while it was built: approved again, it went to the end",
    ),
    Planned("version", "app", "ben", "Print the version", {"version.sh": "echo 1.0\n"}),
)

# "guests" is approved before what it depends on: it waits, and comes in right behind it.
APPROVALS = (
    *("whisper", "polite", "install", "silence", "goodbye", "cordial"),
    *("guests", "count", "reasons", "examples", "version"),
)
UPDATED = "examples"
LANDING = ("whisper", "polite", "install", "silence", "count", "guests", "reasons", "version", "examples")


def planned(name: str) -> Planned:
    return next(change for change in CHANGES if change.name == name)


def message(change: Planned, change_ids: Mapping[str, str]) -> str:
    """The commit message. change_ids: Change-Id of each change that is there already, by name."""
    needs = f"Depends-On: {change_ids[change.needs]}\n" if change.needs else ""
    return f"{change.title}\n\n{needs}"
