"""Whether twins that `embedstore twins` finds across the given groups are twins: do their file names say so?

    python tools/bench/twins.py STORE

STORE holds the magnetic tiles with the groups that came with them. Their file names end in the number of the capture, and tiles
were taken one after the other, in rounds that each count anew: the numbers of true twins are close, in whatever round. Twins are
found from the vectors alone.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np

import embedstore
from embedstore.analysis.twins import find_twins
from embedstore.errors import EmbedstoreError, SettingsError

CLOSE = 250  # of numbers up to 360,000; a tile takes some hundred
_NUMBER = re.compile(r"_num_(\d+)\.\w+$")


def main() -> None:
    """Print how many pairs of pictures are united across groups, and how many of them have close numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    path = parser.parse_args().store
    try:
        with embedstore.open(path) as store:
            twins = find_twins(store)
            groups = {one.id: one.group or one.id for one in store.samples}
        numbers = captures(groups)
    except EmbedstoreError as error:
        sys.exit(f"Error: {error}")
    pairs = united(groups, twins.merged)
    names = sorted(numbers)
    drawn = np.random.default_rng(0).integers(0, len(names), (200_000, 2))
    by_chance = close(((names[a], names[b]) for a, b in drawn if a != b), numbers)
    if twins.agreement is not None:
        told = twins.agreement
        print(f"Of {told.given:,} given pairs {told.shared:,} are found, among {told.found:,}.")
    print(
        f"{len(pairs):,} pairs would be united across groups; {close(pairs, numbers):,} of them have capture numbers at most "
        f"{CLOSE} apart, as {by_chance / len(drawn):.1%} of random pairs have."
    )


def captures(names: Iterable[str]) -> dict[str, int]:
    """Return the number of each picture's capture.

    Raises:
        SettingsError: a name has none.
    """
    found = {name: _NUMBER.search(name) for name in names}
    without = next((name for name, match in found.items() if match is None), None)
    if without is not None:
        raise SettingsError(
            f"The name '{without}' has no capture number; expected the magnetic tiles, ..._num_123.jpg."
        )
    return {name: int(match[1]) for name, match in found.items() if match is not None}


def united(groups: dict[str, str], merged: dict[str, str]) -> list[tuple[str, str]]:
    """Return the pairs of pictures that are of two groups and would be of one."""
    together: dict[str, list[str]] = defaultdict(list)
    for name, group in sorted(groups.items()):
        together[merged.get(group, group)].append(name)
    return [
        pair for names in together.values() for pair in combinations(names, 2) if groups[pair[0]] != groups[pair[1]]
    ]


def close(pairs: Iterable[tuple[str, str]], numbers: dict[str, int]) -> int:
    """Return how many pairs have close numbers."""
    return sum(abs(numbers[one] - numbers[other]) <= CLOSE for one, other in pairs)


if __name__ == "__main__":
    main()
