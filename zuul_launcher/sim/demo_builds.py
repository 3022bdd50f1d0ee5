"""The builds of the demo, as the pages of its worker tell of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zuul_launcher.sim.site import Site
from zuul_launcher.worker.places import build_address

MOST = 1000  # that the worker tells at once


@dataclass(frozen=True)
class SeenBuild:
    job: str
    url: str
    is_building: bool
    result: str | None  # None: it runs, or it has none
    parameters: Mapping[str, Any]

    @property
    def is_gated(self) -> bool:
        return bool(self.parameters["ZUUL_PIPELINE"] == "gate")


class SeenBuilds:
    """Looks at a site's worker. The parameters of a build never change: they are asked for once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parameters: dict[tuple[str, int], Mapping[str, Any]] = {}

    def look(self) -> tuple[SeenBuild, ...]:
        """All there are, in the order of their beginning. Raises OSError: the worker does not answer."""
        return tuple(map(self._seen, reversed(self._site.ask_worker(f"api/builds?limit={MOST}"))))

    def _seen(self, build: Mapping[str, Any]) -> SeenBuild:
        key = build["name"], build["number"]
        if key not in self._parameters:
            told = self._site.ask_worker(f"{build_address(*key)}api/json")
            self._parameters[key] = told["params"]
        return SeenBuild(build["name"], build["url"], build["building"], build["result"], self._parameters[key])
