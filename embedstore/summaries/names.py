"""Names of saved summaries: one that a refresh has put another in place of stays as NAME@VERSION, byte for byte.

VERSION is that of the store which it was made of. No name that people give has an '@', so nothing is ever taken twice.
"""

import re

AT = "@"

_KEPT = re.compile(rf"(.+){AT}(0|[1-9][0-9]*)", re.DOTALL)


def kept_name(name: str, version: int) -> str:
    """Return the name under which a summary of a version stays once another has taken its own."""
    return f"{name}{AT}{version}"


def split_name(name: str) -> tuple[str, int | None]:
    """Return the plain name and the version of a NAME@VERSION; of every other name itself, and None."""
    found = _KEPT.fullmatch(name)
    return (name, None) if found is None else (found[1], int(found[2]))
