"""Target policies: which target each training sample gets. One a file, NumPy in and out.

To add a policy, write a file with a `fit(training, summary, seed, **parameters)` and add its line to `POLICIES`; the
contract suite in `tests/distill/test_policies.py` then runs over it.
"""

from distill.targets import (
    class_mean,
    mixture,
    none,
    own,
    random_vectors,
    rare_samples,
    retrieved,
    rotated_means,
    shuffled_own,
    sub_prototypes,
)
from distill.targets.policy import Policy, PolicyKind, Targets, TrainingSet

MIXTURE = "mixture"

POLICIES: dict[str, PolicyKind] = {
    "none": PolicyKind(none.fit),
    "class-mean": PolicyKind(class_mean.fit, strategy="class-mean"),
    "sub-prototypes": PolicyKind(sub_prototypes.fit, strategy="sub-prototypes"),
    "rare-samples": PolicyKind(rare_samples.fit, strategy="rare-samples"),
    "own": PolicyKind(own.fit, reads_vectors=True),
    "retrieved": PolicyKind(retrieved.fit, reads_vectors=True),
    MIXTURE: PolicyKind(mixture.fit),
    # controls
    "random-vectors": PolicyKind(random_vectors.fit),
    "rotated-means": PolicyKind(rotated_means.fit, strategy="class-mean"),
    "shuffled-own": PolicyKind(shuffled_own.fit, reads_vectors=True),
}

__all__ = ["MIXTURE", "POLICIES", "Policy", "PolicyKind", "Targets", "TrainingSet"]
