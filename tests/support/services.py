"""The real parts that tests talk to: which are here, and what happens where one is missing.

A test says what it needs with a marker of that name (`@pytest.mark.postgresql`), or calls `require`. Where the part
is missing the test is skipped with the reason; with REQUIRE_SERVICES=1, as CI sets it, it fails.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import mysql, postgresql

ROOT = Path(__file__).parent.parent.parent
GERRIT = ROOT / ".services" / "gerrit"
DAEMONS = "/usr/sbin:/sbin"  # where Debian keeps sshd and gearmand, and where the PATH of a user may not lead


def program(name: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), DAEMONS]))


def _programs(*names: str) -> Callable[[], bool]:
    return lambda: all(program(name) for name in names)


PARTS: dict[str, tuple[Callable[[], bool], str]] = {
    "gearmand": (_programs("gearmand"), "C gearmand (package gearman-job-server)"),
    "libgearman": (_programs("gearman", "gearadmin"), "the C client of Gearman (package gearman-tools)"),
    "postgresql": (lambda: postgresql.programs() is not None, "PostgreSQL (package postgresql)"),
    "mysql": (lambda: mysql.programs() is not None, "MariaDB (packages mariadb-server-core, mariadb-client-core)"),
    "chromium": (_programs("chromium", "chromedriver"), "Chromium (packages chromium and chromium-driver)"),
    "sshd": (_programs("sshd", "ssh"), "OpenSSH (packages openssh-server and openssh-client)"),
    "gerrit": (lambda: _programs("java")() and (GERRIT / "complete").exists(), "a real Gerrit (tools/gerrit/fetch.sh)"),
}


def missing(name: str) -> str | None:
    """Why the part cannot be used, as one line; None: it is here."""
    is_here, description = PARTS[name]
    return None if is_here() else f"needs {description}: make services"


def require(name: str) -> None:
    """Skip the running test if the part is missing; fail it if REQUIRE_SERVICES=1."""
    reason = missing(name)
    if reason is None:
        return
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
