"""What a run is asked to do, as one frozen value that is stored with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from embedstore.errors import SettingsError

LOSSES = ("cosine", "mse", "l1", "contrastive", "contrastive-all")
CE_VIEWS = ("all", "whole")
CROPS = ("stored", "fresh")
PROJECTIONS = ("student", "teacher")
SCHEDULES = ("cosine", "constant")
KEEP = ("last", "best")
PRECISIONS = ("auto", "float32", "bfloat16")
PATCHES = "patches"
ANSWERS = ("head", "neighbours", "both", "distribution", PATCHES)
TRUNK, SCRATCH = "trunk", "scratch"  # begin the names of students that are the first stages of a teacher


@dataclass(frozen=True)
class Settings:
    """Settings of a training run.

    Attributes:
        policy: which target each sample gets; a key of `distill.targets.POLICIES`.
        mixture: with the policy `mixture`: label -> policy -> weight.
        options: policy -> its options: `summary`, the name of a saved summary, or parameters to make one from the training
            samples; or the policy's own parameters.
        good: the label of good parts; escape and overkill need one. None: recall per class.
        student: `small`, `medium`, a timm model's name, `trunk:TEACHER:STAGES`, `scratch:TEACHER:STAGES`, or `MODULE:FUNCTION`
            that gives an `nn.Module`; see `students.make_student`.
        loss: alignment; see `distill.losses.make_loss`.
        weight: lambda, of the alignment beside the cross-entropy.
        temperature: of the contrastive losses.
        projection: on whose side the learned map stands, `student` or `teacher`; see `distill.losses.DistillationLoss`.
        size: side of the student's input, in pixels.
        epochs: each passes as many pictures through the student as there are training samples.
        pretrain_epochs: as many before these, of the alignment alone: on samples without a label, too.
        seed: of weights, order, views, and of the split where the store has none.
        overkill: share of good parts that may be rejected; the threshold is chosen for it on the validation set.
        views: how many of the stored augmented views to use; None for all.
        folds: deal the groups into so many folds for this run; None takes the split that the store has.
        fold: which of them is tested; 0 where none are dealt.
        val_fold: which validates; None for the next one.
        ce_views: `all`: every stored view feeds both losses; `whole`: half of each batch is whole pictures, randomly
            turned and mirrored as the recipe allows, for cross-entropy, half is stored views for alignment.
        crops: `stored`: replay the views whose vectors the store has. `fresh`: draw a new view at each pass; only for
            policies that read no vector of the view.
        balance: how evenly labels are drawn: 0, each sample once an epoch, to 1, each label equally often; between
            them a label of n samples is drawn in proportion to n^(1 - balance).
        logit_adjustment: tau; see `distill.losses.DistillationLoss`. 0: none.
        batch: pictures in a step.
        learning_rate: the highest; it rises over the first epoch.
        schedule: of the learning rate after that, step by step: `cosine` falls to 0, `constant` stays.
        weight_decay: of AdamW.
        ema: decay of an exponential moving average of the weights, which is then the student; 0: none.
        keep: which epoch's student the run gives: the `last`, or the `best` on the validation side.
        answer: who says what a held-out picture is: the student's `head`, its `neighbours` among the training pictures,
            `both`, or the `distribution` of each class, or the head and `patches`, how far each place of the picture is from
            all that good parts show; see `distill.answers`. The figures of each epoch are the head's.
        patches: in whose maps those are looked up, `TEACHER:STAGES` as after `trunk:` in a student's name.
        precision: of what the student's layers compute while it learns: `auto`, `float32` or `bfloat16`; see
            `precision.layers_dtype`.
    """

    policy: str = "own"
    mixture: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    good: str | None = None
    student: str = "small"
    loss: str = "cosine"
    weight: float = 1.0
    temperature: float = 0.07
    size: int = 96
    epochs: int = 30
    seed: int = 0
    overkill: float = 0.05
    views: int | None = None
    folds: int | None = None
    fold: int = 0
    val_fold: int | None = None
    ce_views: str = "all"
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    projection: str = "student"
    pretrain_epochs: int = 0
    crops: str = "stored"
    balance: float = 0.0
    logit_adjustment: float = 0.0
    schedule: str = "cosine"
    ema: float = 0.0
    keep: str = "last"
    answer: str = "head"
    patches: str = "efficientnet-lite0:5"
    precision: str = "auto"

    def __post_init__(self) -> None:
        from distill.targets import POLICIES
        from distill.targets.making import check_options

        for name, value, known in (
            ("policy", self.policy, tuple(POLICIES)),
            ("loss", self.loss, LOSSES),
            ("ce-views", self.ce_views, CE_VIEWS),
            ("kind of crops", self.crops, CROPS),
            ("projection", self.projection, PROJECTIONS),
            ("schedule", self.schedule, SCHEDULES),
            ("epoch to keep", self.keep, KEEP),
            ("answer", self.answer, ANSWERS),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise SettingsError(f"The {name} '{value}' is unknown; use one of {', '.join(known)}.")
        for name, number, low, high in (
            ("lambda", self.weight, 0, 1_000_000),
            ("temperature", self.temperature, 1e-6, 1_000_000),
            ("size", self.size, 16, 4096),
            ("number of epochs", self.epochs, 1, 1_000_000),
            ("number of epochs of pre-training", self.pretrain_epochs, 0, 1_000_000),
            ("seed", self.seed, 0, 2**32 - 1),
            ("overkill", self.overkill, 0, 0.5),
            ("batch", self.batch, 2, 1_000_000),
            ("weight decay", self.weight_decay, 0, 1_000_000),
            ("balance", self.balance, 0, 1),
            ("logit adjustment", self.logit_adjustment, 0, 1_000),
            ("decay of the moving average", self.ema, 0, 0.999999),
        ):
            if not low <= number <= high:
                raise SettingsError(f"The {name} is {number}; expected {low} to {high}.")
        if not 0 < self.learning_rate <= 1_000_000:
            raise SettingsError(
                f"The learning rate is {self.learning_rate}; expected more than 0, which learns nothing, and at most 1000000."
            )
        if self.views is not None and self.views < 0:
            raise SettingsError(f"The number of views is {self.views}; expected 0 or more.")
        if self.folds is None and (self.fold or self.val_fold is not None):
            raise SettingsError(
                "A fold was named (fold or val_fold), but not how many are dealt; set folds too, or leave both out to take the "
                "store's split."
            )
        if self.answer == PATCHES and self.good is None:
            raise SettingsError(
                "The answer 'patches' compares with good parts, and no good label is known; say which it is: --good LABEL, or "
                "good = LABEL in a task file."
            )
        check_options(self.policy, self.mixture, self.options)
        used = sorted({name for shares in self.mixture.values() for name in shares}) or [self.policy]
        if self.crops == "fresh" and (refused := [name for name in used if not POLICIES[name].any_view]):
            allowed = ", ".join(name for name, kind in POLICIES.items() if kind.any_view)
            raise SettingsError(
                f"The policy '{refused[0]}' needs the vector of each view, which fresh crops do not have; take the stored "
                f"ones, or one of {allowed}."
            )
        if self.pretrain_epochs and used == ["none"]:
            raise SettingsError(
                "Pre-training learns from targets alone, and the policy 'none' has no targets; choose another policy."
            )
        if self.pretrain_epochs and not self.weight:
            raise SettingsError(
                "Pre-training learns from targets alone, and a lambda of 0 gives them no weight; give a lambda above 0."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)


def is_of_teacher(name: str) -> bool:
    """Return whether a student's name is that of stages of a teacher."""
    return name.startswith((f"{TRUNK}:", f"{SCRATCH}:"))


def is_code(name: str) -> bool:
    """Return whether a student's name is that of a function to import and call, which runs whatever stands there."""
    return ":" in name and not is_of_teacher(name)
