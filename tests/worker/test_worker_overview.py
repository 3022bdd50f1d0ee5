"""What a manager shows of itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from zuul_launcher import settings
from zuul_launcher.worker.app import Worker
from zuul_launcher.worker.overview import Overview

JOBS = """\
jobs:
  - {name: unit, description: Tests all., steps: [{shell: 'true'}]}
  - {name: bare, steps: [{shell: 'true'}]}
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "jobs.yaml").write_text(JOBS)
    (tmp_path / "zuul.conf").write_text(
        f"[gearman]\nserver = 127.0.0.1\n[zuul]\nstate_dir = {tmp_path}/state\n[worker]\njobs = {tmp_path}/jobs.yaml\n"
    )
    worker = Worker(settings.load(tmp_path / "zuul.conf"))
    yield worker
    worker.queue.stop()
    worker.close()


def test_the_description_of_a_job_is_what_its_definition_says(worker: Worker) -> None:
    shown = Overview(worker)
    assert [shown.description(job) for job in ("unit", "bare", "gone")] == ["Tests all.", "", ""]
