"""Sphinx settings of the manual."""

import configparser
from pathlib import Path

_metadata = configparser.ConfigParser()
_metadata.read(Path(__file__).parent.parent / "setup.cfg")

project = "zuul-launcher"
author = _metadata["metadata"]["author"]
release = version = _metadata["metadata"]["version"]
html_theme = "alabaster"
html_theme_options = {"description": "A gate for Gerrit", "fixed_sidebar": True, "page_width": "1100px"}
nitpicky = True
