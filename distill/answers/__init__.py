"""Who answers for a student beside its head: what is kept of the training pictures, as the student sees them. One a file.

To add one, write a class with `of(features, labels, parts)`, `fitting(tensors, student)` and a call that maps features and
logits to probabilities, and add its line to `MEMORIES` and its name to `settings.ANSWERS`.
"""

from distill.answers.distribution import Distribution
from distill.answers.neighbours import Neighbours

MEMORIES: dict[str, type[Neighbours] | type[Distribution]] = {
    "neighbours": Neighbours,
    "distribution": Distribution,
    "both": Neighbours,  # and the head
}

__all__ = ["MEMORIES", "Distribution", "Neighbours"]
