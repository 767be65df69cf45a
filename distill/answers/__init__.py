"""Who answers for a student beside its head: what is kept of the training pictures, as the student sees them. One a file.

To add one, write a dataclass that is a `Memory`, and add its line to `MEMORIES` and its name to `settings.ANSWERS`.
"""

from distill.answers.distribution import Distribution
from distill.answers.memory import Memory
from distill.answers.neighbours import Neighbours

MEMORIES: dict[str, type[Memory]] = {
    "neighbours": Neighbours,
    "distribution": Distribution,
    "both": Neighbours,  # and the head
}

__all__ = ["MEMORIES", "Distribution", "Memory", "Neighbours"]
