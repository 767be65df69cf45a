"""How many of a number of prototypes each label gets."""

from collections.abc import Mapping
from math import sqrt

RULES = ("equal", "root", "size", "defects")


def divided(total: int, sizes: Mapping[str, int], rule: str, good: str) -> dict[str, int]:
    """Divide so many prototypes among labels: one or more each, no more than a label has samples.

    One by one they go to the label that is furthest behind its due (Sainte-Laguë's method), the first of equals.

    Args:
        total: how many, as far as there are samples.
        sizes: samples of each label.
        rule: what is due: `equal`, as much to each; `size` and `root`, by the number of samples or its root; `defects`,
            to good a third of what is due to any other label.
        good: the label of good parts.
    """
    due = {
        label: {"equal": 1.0, "size": size, "root": sqrt(size), "defects": 1 / 3 if label == good else 1.0}[rule]
        for label, size in sizes.items()
    }
    found = dict.fromkeys(sizes, 1)
    for _ in range(min(total, sum(sizes.values())) - len(sizes)):
        open_ones = [label for label in sizes if found[label] < sizes[label]]
        found[max(open_ones, key=lambda label: due[label] / (2 * found[label] + 1))] += 1
    return found
