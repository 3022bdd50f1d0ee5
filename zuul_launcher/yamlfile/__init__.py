"""YAML files that people write: read with the place of every value, so that every mistake is told with its place."""
