"""zuul-launcher: a gate for Gerrit."""
