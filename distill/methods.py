"""Methods: published ways of distilling, by name: a policy with the settings that make it that method.

A policy says which target each sample gets; a method says how the student learns from it, too. Learning rate, epochs, batch,
student and views stay those that are asked for, so that methods are compared at the same budget. To add one, add its line to
`METHODS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from distill.targets import MIXTURE, POLICIES
from distill.targets.making import SAVED, mixed
from distill.training.settings import Settings
from embedstore.errors import SettingsError


@dataclass(frozen=True)
class Method:
    """A policy, and the settings that belong to it.

    Attributes:
        policy: a key of `distill.targets.POLICIES`.
        says: what it is, in a few words.
        settings: name -> value.
        options: of the policy.
    """

    policy: str
    says: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


# As the paper and its code have it: vectors as they are, the learned map on the teacher's side, cosines without a temperature,
# half the weight, means of 100 samples a class. Left out: the code takes the softmax of the labels' logits twice, its learning
# rate never moves, and its epoch is chosen on the test set.
_PUBLISHED: Mapping[str, Any] = {"projection": "teacher", "temperature": 1.0, "weight": 0.5}
_MEANS: Mapping[str, Any] = {"per_class": 100}

METHODS: dict[str, Method] = {
    "none-fresh": Method("none", "plain training on crops drawn anew at each pass", {"crops": "fresh"}),
    "live-teacher-fresh": Method(
        "live-teacher", "the teacher beside the student, on crops drawn anew at each pass", {"crops": "fresh"}
    ),
    "clip-teacher-kd": Method(
        "live-teacher",
        "CLIP-Teacher-KD as published: contrastive, against the teacher beside the student",
        {**_PUBLISHED, "loss": "contrastive-all"},
        {"centred": False},
    ),
    "clip-embed-kd": Method(
        "uncentred-means",
        "CLIP-Embed-KD as published: contrastive over class means",
        {**_PUBLISHED, "loss": "contrastive"},
        _MEANS,
    ),
    "clip-embed-kd-l1": Method(
        "uncentred-means", "CLIP-Embed-KD with the L1 distance", {**_PUBLISHED, "loss": "l1"}, _MEANS
    ),
    "clip-embed-kd-mse": Method(
        "uncentred-means", "CLIP-Embed-KD with the squared distance", {**_PUBLISHED, "loss": "mse"}, _MEANS
    ),
    "clip-embed-kd-corrected": Method(
        "class-mean",
        "CLIP-Embed-KD with centred means, the map on the student's side and a temperature",
        {"projection": "student", "temperature": 0.07, "loss": "contrastive"},
    ),
}


def settings_of(name: str, base: Settings) -> Settings:
    """Return the settings of a policy or a method, all else as in `base`.

    Plain training can't be pre-trained, so it gets as many more epochs.

    Raises:
        SettingsError: there is neither, or the settings do not go with it.
    """
    if name in POLICIES:
        method = Method(name, name)
    elif name in METHODS:
        method = METHODS[name]
    else:
        raise SettingsError(
            f"The policy '{name}' is unknown; use one of {', '.join(POLICIES)}, or the methods {', '.join(METHODS)}."
        )
    changes = dict(method.settings)
    if method.policy == "none" and base.pretrain_epochs:
        changes |= {"pretrain_epochs": 0, "epochs": base.epochs + base.pretrain_epochs}
    used = mixed(base.mixture) if method.policy == MIXTURE else [method.policy]
    options = {policy: chosen for policy, chosen in base.options.items() if policy in used}
    if method.options:
        given = options.get(method.policy, {})
        # What belongs to the method rules; where a teacher's checkpoint lies, say, does not.
        options[method.policy] = given if SAVED in given else {**given, **method.options}
    return replace(
        base,
        policy=method.policy,
        mixture=base.mixture if method.policy == MIXTURE else {},
        options=options,
        **changes,
    )
