"""What a run is asked to do, as one frozen value that is stored with it."""

from dataclasses import asdict, dataclass
from typing import Any

from embedstore.errors import SettingsError

LOSSES = ("cosine", "mse", "l1", "contrastive")
CE_VIEWS = ("all", "whole")


@dataclass(frozen=True)
class Settings:
    """Settings of a training run.

    Attributes:
        policy: which target each sample gets; a key of `distill.targets.POLICIES`.
        good: the label of good parts; escape and overkill need one. None: recall per class.
        student: `small`, or a timm model's name.
        loss: alignment: cosine, mse, l1 or contrastive.
        weight: lambda, of the alignment beside the cross-entropy.
        temperature: of the contrastive loss.
        size: side of the student's input, in pixels.
        epochs: each passes as many pictures through the student as there are training samples.
        seed: of weights, order, views, and of the split where the store has none.
        overkill: share of good parts that may be rejected; the threshold is chosen for it on the validation set.
        summary: a saved summary's name; None fits one on the training samples where the policy needs it.
        ce_views: `all`: every stored view feeds both losses; `whole`: half of each batch is whole pictures, randomly
            turned and mirrored as the recipe allows, for cross-entropy, half is stored views for alignment.
        batch: pictures in a step.
        learning_rate: the highest; it rises over the first epoch and falls along a cosine.
        weight_decay: of AdamW.
    """

    policy: str = "own"
    good: str | None = None
    student: str = "small"
    loss: str = "cosine"
    weight: float = 1.0
    temperature: float = 0.07
    size: int = 96
    epochs: int = 30
    seed: int = 0
    overkill: float = 0.05
    summary: str | None = None
    ce_views: str = "all"
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05

    def __post_init__(self) -> None:
        from distill.targets import POLICIES

        for name, value, known in (
            ("policy", self.policy, tuple(POLICIES)),
            ("loss", self.loss, LOSSES),
            ("ce-views", self.ce_views, CE_VIEWS),
        ):
            if value not in known:
                raise SettingsError(f"The {name} '{value}' is unknown; use one of {', '.join(known)}.")
        for name, number, low, high in (
            ("lambda", self.weight, 0, 1_000_000),
            ("temperature", self.temperature, 1e-6, 1_000_000),
            ("size", self.size, 16, 4096),
            ("number of epochs", self.epochs, 1, 1_000_000),
            ("seed", self.seed, 0, 2**32 - 1),
            ("overkill", self.overkill, 0, 0.5),
            ("batch", self.batch, 2, 1_000_000),
            ("learning rate", self.learning_rate, 0, 1_000_000),
            ("weight decay", self.weight_decay, 0, 1_000_000),
        ):
            if not low <= number <= high:
                raise SettingsError(f"The {name} is {number}; expected {low} to {high}.")
        if self.summary is not None and POLICIES[self.policy].strategy is None:
            raise SettingsError(f"The policy '{self.policy}' takes no summary; leave --summary out.")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)
