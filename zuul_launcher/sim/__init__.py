"""A world that plays Gerrit, Gearman and git: for the demo, for tests, for asking "what if"."""
