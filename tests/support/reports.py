"""Somebody's module, as the manual of remoting speaks of it."""


def count_lines(folder, pattern):  # type: ignore[no-untyped-def] # somebody else's, as said
    return {path.name: len(path.read_text().splitlines()) for path in sorted(folder.glob(pattern))}
