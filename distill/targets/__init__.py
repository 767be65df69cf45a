"""Target policies: which target each training sample gets. One a file, NumPy in and out.

To add a policy, write a file with a `fit(training, summary, seed)` and add its line to `POLICIES`; the contract suite
in `tests/distill/test_policies.py` then runs over it.
"""

from distill.targets import class_mean, none, own, random_vectors
from distill.targets.policy import Policy, PolicyKind, Targets, TrainingSet

POLICIES: dict[str, PolicyKind] = {
    "none": PolicyKind(none.fit),
    "class-mean": PolicyKind(class_mean.fit, strategy="class-mean"),
    "own": PolicyKind(own.fit),
    "random-vectors": PolicyKind(random_vectors.fit),
}

__all__ = ["POLICIES", "Policy", "PolicyKind", "Targets", "TrainingSet"]
