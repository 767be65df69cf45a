"""Who answers for a student beside its head: what is kept of the training pictures, as the student sees them. One a file.

To add one, write a dataclass that is a `Memory`, and add its line to `MEMORIES` and its name to `settings.ANSWERS`. `patches` is
no such one, since it looks at the picture itself and not at the student's features.
"""

from distill.answers.distribution import Distribution
from distill.answers.memory import Memory
from distill.answers.neighbours import Neighbours
from distill.answers.patches import Patches, PatchMaps

MEMORIES: dict[str, type[Memory]] = {
    "neighbours": Neighbours,
    "distribution": Distribution,
    "both": Neighbours,  # and the head
}

__all__ = ["MEMORIES", "Distribution", "Memory", "Neighbours", "PatchMaps", "Patches"]
