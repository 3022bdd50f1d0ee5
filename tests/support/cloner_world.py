"""A git server and a real merger, both as folders, and jobs that call zuul-cloner in workspaces of their own."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from support.git_world import Files, Upstream, git, subjects

from zuul_launcher.cloner.command import main
from zuul_launcher.merger.merge import Merger
from zuul_launcher.merger.worker import answer

VARIABLES = ("ZUUL_BRANCH", "ZUUL_REF", "ZUUL_URL", "ZUUL_PROJECT", "ZUUL_NEWREV", "ZUUL_CACHE_DIR")


@dataclass
class World:
    """Everything below ``root``; ``workspace`` is where jobs clone to."""

    root: Path
    merger: Merger
    projects: dict[str, Upstream] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return (self.root / "upstream").as_uri()

    @property
    def zuul_url(self) -> str:
        return self.merger.settings.git_dir.as_uri()

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    def project(self, name: str, files: Files | None = None) -> Upstream:
        self.projects[name] = Upstream(self.root / "upstream", name, files)
        return self.projects[name]

    def build(self, *items: dict[str, Any]) -> dict[str, str]:
        """Have a chain merged, and give the variables of a build of its last item."""
        reply = json.loads(answer(self.merger, "merger:merge", json.dumps({"items": items}).encode()))
        assert reply["merged"], reply
        last = items[-1]
        return {
            "ZUUL_PROJECT": last["project"],
            "ZUUL_BRANCH": last["branch"],
            "ZUUL_REF": f"refs/zuul/{last['branch']}/{last['ref']}",
            "ZUUL_URL": self.zuul_url,
        }

    def update(self, name: str) -> None:
        """Have the merger fetch a project, as for a timer or an updated ref."""
        request = {"project": name, "url": self.projects[name].url}
        assert json.loads(answer(self.merger, "merger:update", json.dumps(request).encode()))["updated"]

    def call(self, *arguments: str | Path, variables: dict[str, str] | None = None) -> Result:
        """Call zuul-cloner with exactly these arguments."""
        environment: dict[str, str | None] = {**dict.fromkeys(VARIABLES), **(variables or {})}
        return CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment)

    def clone(self, *arguments: str | Path, variables: dict[str, str] | None = None, fails: bool = False) -> str:
        """Clone into the workspace, and give what was logged."""
        result = self.call("--workspace", self.workspace, *arguments, variables=variables)
        assert (result.exit_code != 0) == fails, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.output

    def head(self, project: str) -> str:
        assert git(self.workspace / project, "symbolic-ref", "--quiet", "HEAD", accept=(1,)) == ""  # on no branch
        assert git(self.workspace / project, "status", "--porcelain", "--ignored") == ""
        return git(self.workspace / project, "rev-parse", "HEAD")

    def subjects(self, project: str) -> list[str]:
        return sorted(subjects(self.workspace / project, self.head(project)))

    def origin(self, project: str) -> str:
        return git(self.workspace / project, "config", "remote.origin.url")
