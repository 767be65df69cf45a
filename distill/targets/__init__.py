"""Target policies: which target each training sample gets. One a file, NumPy in and out.

To add a policy, write a file with a `fit(training, summary, seed, **parameters)` and add its line to `POLICIES`; the
contract suite in `tests/distill/test_policies.py` then runs over it.
"""

from distill.targets import (
    class_distribution,
    class_mean,
    compressed_own,
    live_teacher,
    mixture,
    none,
    own,
    random_vectors,
    rare_samples,
    retrieved,
    rotated_means,
    shuffled_own,
    sub_prototypes,
    uncentred_means,
)
from distill.targets.policy import LivePolicy, Policy, PolicyKind, Targets, TrainingSet

MIXTURE = "mixture"

POLICIES: dict[str, PolicyKind] = {
    "none": PolicyKind(none.fit, any_view=True),
    "class-mean": PolicyKind(class_mean.fit, strategy="class-mean", any_view=True),
    "sub-prototypes": PolicyKind(sub_prototypes.fit, strategy="sub-prototypes"),
    "rare-samples": PolicyKind(rare_samples.fit, strategy="rare-samples"),
    "own": PolicyKind(own.fit, reads_vectors=True),
    "compressed-own": PolicyKind(compressed_own.fit, strategy="compressed-own"),
    "retrieved": PolicyKind(retrieved.fit, reads_vectors=True),
    MIXTURE: PolicyKind(mixture.fit),
    # baselines and controls
    "live-teacher": PolicyKind(live_teacher.fit, reads_vectors=True, any_view=True),
    "class-distribution": PolicyKind(class_distribution.fit, strategy="class-distribution", any_view=True),
    "uncentred-means": PolicyKind(uncentred_means.fit, strategy="class-mean", any_view=True),
    "random-vectors": PolicyKind(random_vectors.fit, any_view=True),
    "rotated-means": PolicyKind(rotated_means.fit, strategy="class-mean", any_view=True),
    "shuffled-own": PolicyKind(shuffled_own.fit, reads_vectors=True),
}

__all__ = ["MIXTURE", "POLICIES", "LivePolicy", "Policy", "PolicyKind", "Targets", "TrainingSet"]
