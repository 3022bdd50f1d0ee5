"""How other versions of Gerrit say the same things."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """The default is Gerrit 3.10."""

    version: str = "3.10.2"  # what `gerrit version` says; some builds say "(dev)"
    numbers_as_text: bool = False  # change and patch set numbers, before 3.0
    short_ref_names: bool = False  # "master" for a branch in `ref-updated`, before 2.12
    sort_keys: bool = False  # pages by `resume_sortkey:` and no `moreChanges`, before 2.9
    query_limit: int = 500  # rows of a page
