"""Where a build is found: its files on the manager, and its page. Names from outside never leave their folder."""

from pathlib import Path
from urllib.parse import quote

from msgspec import Struct


def folder_name(job: str) -> str:
    """A job's name as one folder: percent-encoded, so that no name means another folder."""
    encoded = quote(job, safe="-_.~+=@,")
    return encoded.replace(".", "%2E") if encoded.strip(".") == "" else encoded


def job_address(job: str) -> str:
    """Of its page, below the root of the pages."""
    return f"job/{folder_name(job)}/"


def build_address(job: str, number: int) -> str:
    """Of its page, below the root of the pages."""
    return f"{job_address(job)}{number}/"


def page_url(root_url: str | None, address: str) -> str | None:
    """Where people find the page of this address; None: nobody said where the pages are."""
    return f"{root_url.rstrip('/')}/{address}" if root_url else None


class BuildFolder(Struct, frozen=True):
    """`path`: BUILDS/JOB/NUMBER.

    console.log: UTF-8 text. console.times: one line for each line of the console, `OFFSET MILLISECONDS`: where it
    begins in console.log, and when (Unix time). artifacts/: files as they lay in the workspace.
    """

    path: Path

    @property
    def console(self) -> Path:
        return self.path / "console.log"

    @property
    def times(self) -> Path:
        return self.path / "console.times"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"


def build_folder(root: Path, job: str, number: int) -> BuildFolder:
    """`root`: the folder of all builds, STATE_DIR/worker/builds."""
    return BuildFolder(root / folder_name(job) / str(number))
