"""The jobs of the demo, as a jobs.yaml for the worker, and the files by which the stage holds their builds. Pure.

The jobs check the tree, and last a little so that people see them. In the gate they go on when AT_ONCE of its changes
are being built, however slow the machine is; builds that are there to be stopped do not end by themselves.
"""

import json
from pathlib import Path

from zuul_launcher.sim.demo_story import AT_ONCE

_JOBS = """\
# The worker reads this at its start and at `zuul-launcher worker reload`.
defaults:
  scm: {{git: {{}}}}
  env:
    DEMO: {folder}
    GERRIT_GIT: {gerrit_git}
  timeout: 10m

jobs:
  - name: unit
    description: The tests of a project, with the other projects as they will be.
    env: {{LASTS: "4"}}
    steps:
      - &check
        shell: |
          #!/bin/sh -ex
          sh check.sh
      - &linger
        name: last a little, to be seen
        when: always
        shell: |
          #!/bin/sh -u
          wait_at_most() {{  # seconds, a command that says when it is over
              left=$1
              shift
              until "$@" || [ "$left" -eq 0 ]; do
                  sleep 1
                  left=$((left - 1))
              done
          }}
          if [ "$ZUUL_PIPELINE" = gate ] && [ ! -e "$DEMO/{together}" ]; then
              echo "waiting until {at_once} changes of the gate are built at the same time"
              wait_at_most 60 test -e "$DEMO/{together}"
          fi
          wait_at_most 600 test ! -e "$DEMO/hold-$ZUUL_PIPELINE-$ZUUL_CHANGE-$ZUUL_PATCHSET"
          sleep "$LASTS"

  - name: style
    description: No blanks at the ends of lines, and no line too long.
    env: {{LASTS: "2"}}
    steps: [*check, *linger]
"""
_TOGETHER = "together"


def jobs_file(folder: Path, gerrit_git: Path) -> str:
    """The text. `folder`: of the demo; `gerrit_git`: where Gerrit's repositories are."""
    return _JOBS.format(
        folder=json.dumps(str(folder)), gerrit_git=json.dumps(str(gerrit_git)), at_once=AT_ONCE, together=_TOGETHER
    )


def together(folder: Path) -> Path:
    """The file that lets builds of the gate go on."""
    return folder / _TOGETHER


def hold(folder: Path, pipeline: str, id: str) -> Path:
    """The file that keeps the builds of a patch set (`10,1`) going as long as it is there."""
    return folder / f"hold-{pipeline}-{id.replace(',', '-')}"
