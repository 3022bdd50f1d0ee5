"""Pages for people and documents for tools, read-only: builds, consoles, artifacts, nodes."""
