"""zuul-launcher: a gate for Gerrit."""

from importlib.metadata import version

VERSION = version("zuul-launcher")
