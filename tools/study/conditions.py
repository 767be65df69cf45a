"""What is trained in the study: each condition is data, a method, settings and a sentence. To add one, add its line below.

Six methods were searched with the same effort, see `search`; each condition says whose recipe it takes, so that a control differs
from what it controls by its targets alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data import MAXIMA, STANDARD, TWO_TEACHERS, Kept
from search import best_recipe, recipe_settings

from distill.methods import settings_of
from distill.training.settings import Settings

FOLDS, SEEDS, EPOCHS, VIEWS = 5, 3, 100, 8


@dataclass(frozen=True)
class Condition:
    """A way of training on some data.

    Attributes:
        name: of its file.
        data: a key of `data.DATA`.
        part: of the study: teacher or patches (which train nothing), baselines, summaries, recipes.
        method: a policy or a method of `distill.methods`, one of `probes`, or `patches`.
        recipe: the searched method whose recipe it takes; None: its own settings say all.
        says: what it is, in a few words.
        settings: beside those that all share, ruling over the recipe; `pretrained`, as there, is a share of the epochs.
        epochs: of the whole training, pre-training included.
        of: the condition, on the same data, whose trainings it asks in another way; None: it has its own.
        answer: that way, one of `settings.ANSWERS`, or `patches`, which are asked beside the head.
        only: (fold, seed) of its runs, where all would take too long; whole seeds, for what trains no student.
        kept: what its store keeps of a teacher.
    """

    name: str
    data: str
    part: str
    method: str
    recipe: str | None
    says: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = EPOCHS
    of: str | None = None
    answer: str = "head"
    only: tuple[tuple[int, int], ...] | None = None
    kept: Kept = STANDARD

    def chosen(self, good: str, docs: Path, epochs: int | None = None) -> Settings:
        """Return its settings.

        Args:
            good: the label of good parts.
            docs: where `search.json` is.
            epochs: of the whole training, ruling over its own.
        """
        recipe = {} if self.recipe is None else best_recipe(docs, self.recipe)[1]
        of_recipe = recipe_settings({**recipe, **self.settings}, epochs or self.epochs)
        return settings_of(self.method, Settings(**{"good": good, "views": VIEWS, **of_recipe}))


def _of(data: str, part: str, *lines: tuple[Any, ...]) -> list[Condition]:
    return [Condition(name, data, part, *rest) for name, *rest in lines]


_SEARCHED: tuple[tuple[Any, ...], ...] = (
    ("none", "none", "none", "plain training on the stored views"),
    ("own", "own", "own", "own embeddings, 8 replayed views"),
    ("class-mean", "class-mean", "class-mean", "class means"),
    (
        "clip-embed-kd-corrected",
        "clip-embed-kd-corrected",
        "clip-embed-kd-corrected",
        "CLIP-Embed-KD, corrected: centred, contrastive, with a temperature",
    ),
    ("sub-prototypes", "sub-prototypes", "sub-prototypes", "k-means, as many prototypes as the default makes"),
    ("rare-samples", "rare-samples", "rare-samples", "rare samples kept, k-means for the others, the default"),
)
_CONTROLS: tuple[tuple[Any, ...], ...] = (
    ("clip-embed-kd", "clip-embed-kd", None, "CLIP-Embed-KD as published"),
    ("rotated-means", "rotated-means", "class-mean", "control: the class means, rotated at random"),
    ("shuffled-own", "shuffled-own", "own", "control: own embeddings, shuffled within the class"),
)
_TRUNK = {"student": "trunk:efficientnet-lite0:5", "learning_rate": 1e-3}
_RIVALS: tuple[tuple[Any, ...], ...] = (
    ("trunk", "none", None, "the teacher's first five stages, fine-tuned 10 epochs without the store", _TRUNK, 10),
    ("trunk-30", "none", None, "the teacher's first five stages, fine-tuned 30 epochs without the store", _TRUNK, 30),
    (
        "trunk-own-30",
        "own",
        None,
        "the teacher's first five stages, with own embeddings, 30 epochs",
        {**_TRUNK, "weight": 5.0},
        30,
    ),
)


def _summary(policy: str, **parameters: Any) -> dict[str, Any]:
    return {"options": {policy: parameters}}


# By bytes of what training needs beside the pictures: own embeddings of some 820 training pictures in 9 views are 18.9 MB. A
# fifth of them, and means beside them, are within a quarter of that.
_SUMMARIES: tuple[tuple[Any, ...], ...] = (
    ("k-means-32", "sub-prototypes", "own", "k-means, 32 prototypes a label", _summary("sub-prototypes", k=32)),
    *(
        (
            f"random-{one}",
            "rare-samples",
            "own",
            f"control: {one} % of the samples kept at random",
            _summary("rare-samples", strategy="random-samples", share=one / 100),
        )
        for one in (1, 20)
    ),
    (
        "herding-20",
        "rare-samples",
        "own",
        "control: 20 % of the samples kept by herding",
        _summary("rare-samples", strategy="herding", share=0.2),
    ),
    (
        "rare-20",
        "rare-samples",
        "own",
        "the rarest 20 % kept, 32 means a label",
        _summary("rare-samples", share=0.2),
    ),
    *(
        (
            f"compressed-{one}",
            "compressed-own",
            "own",
            f"own embeddings in {one} bytes a view, a tenth in 64",
            _summary("compressed-own", bytes=one, rare_bytes=64, kept_views=VIEWS),
        )
        for one in (4, 16)
    ),
    (
        "compressed-16-even",
        "compressed-own",
        "own",
        "own embeddings in 16 bytes a view, rare ones too",
        _summary("compressed-own", bytes=16, rare_bytes=16, kept_views=VIEWS),
    ),
)
_LARGE = {"size": 160}
# k-means of as many bytes as the other two: 40 means a label are 212 KB, random-1 208, compressed-16 214.
_K_MEANS_40 = (
    "k-means-40",
    "sub-prototypes",
    "own",
    "k-means, 40 prototypes a label",
    _summary("sub-prototypes", k=40),
)
_LARGE_SUMMARIES = tuple(
    (f"{name}-160px", method, recipe, f"{says}, pictures of 160 pixels", {**settings, **_LARGE})
    for name, method, recipe, says, settings in (*_SUMMARIES, _K_MEANS_40)
    if name in ("k-means-40", "random-1", "compressed-16")
)
_MANY_VIEWS, _LONG = {"views": 32}, 3 * EPOCHS
_ON_EMBEDDINGS_FIRST = {**_MANY_VIEWS, "pretrained": 2 / 3}
_RECIPES: tuple[tuple[Any, ...], ...] = (
    # A longer schedule, and what as many epochs and views give without the embeddings.
    (
        "own-long",
        "own",
        "own",
        "own embeddings, 32 replayed views, 200 epochs of embeddings alone, then 100",
        _ON_EMBEDDINGS_FIRST,
        _LONG,
    ),
    ("none-long", "none", "none", "plain training on 32 stored views, 300 epochs", _MANY_VIEWS, _LONG),
    # Both of what gained most.
    (
        "own-long-160px",
        "own",
        "own",
        "own embeddings, 32 replayed views, 200 epochs of embeddings alone, then 100, pictures of 160 pixels",
        {**_ON_EMBEDDINGS_FIRST, **_LARGE},
        _LONG,
    ),
    # The usual students see 96 pixels, where the teacher sees 224.
    ("own-160px", "own", "own", "own embeddings, pictures of 160 pixels instead of 96", _LARGE),
    ("none-160px", "none", "none", "plain training on the stored views, pictures of 160 pixels", _LARGE),
    *(
        (f"{name}-160px", method, recipe, f"{says}, pictures of 160 pixels", {**settings, **_LARGE}, epochs)
        for name, method, recipe, says, settings, epochs in _RIVALS
        # What a student of larger pictures is held against, and what the store adds to that.
        if name in ("trunk-30", "trunk-own-30")
    ),
)


def _asked(*names: str) -> list[Condition]:
    """Return conditions that ask the trainings of others in every way but by the head."""
    lines = {name: line for name, *line in (*_SEARCHED, *_SUMMARIES, *_RECIPES)}
    return [
        replace(
            Condition(f"{name}-{answer}", "magnetic-tile", "recipes", *lines[name]),
            of=name,
            answer=answer,
            says=f"{name}, asked through {words}",
        )
        for name in names
        for answer, words in (
            ("neighbours", "its nearest training pictures"),
            ("both", "head and nearest training pictures"),
            ("distribution", "the distribution of each class"),
        )
    ]


def _with_patches(*names: str) -> list[Condition]:
    """Return conditions that ask patches beside the heads of others, of which the finished scores do."""
    alone = Condition(
        "patches",
        "magnetic-tile",
        "patches",
        "patches",
        None,
        "patches of the teacher's first five stages, no student",
    )
    says = "{}, and patches of the teacher's first five stages"
    return [
        alone,
        *(replace(alone, name=f"{name}-patches", says=says.format(name), of=name, answer="patches") for name in names),
    ]


_EVEN = "compressed-16-even"  # trained on the tail alone, where more bytes for the rare ones must show if anywhere
_THIN = ("none", "own", "class-mean", "compressed-16", _EVEN)
# With the teacher beside the student a training takes an hour and more, so one run of it must do. On stored views it would learn
# what `own` does, to the last digits of float16; so it draws its crops anew, which no store can replay.
_LIVE = (
    ("live-teacher-fresh", "live-teacher-fresh", "own", "the teacher beside the student, crops drawn anew, one run"),
)
_SIX = ("none", "own", "class-mean", "clip-embed-kd")

_TEACHER: tuple[tuple[Any, ...], ...] = (
    ("teacher-probe", "teacher-probe", None, "a linear probe on the teacher's own vectors"),
    ("teacher-neighbours", "teacher-neighbours", None, "nearest neighbours in the teacher's space"),
)

# More of the teacher, or two of them: what a probe on it says, and what a student makes of it. Name, part, method, recipe, ...
_MORE = (
    (
        "teacher-probe-two",
        "teacher",
        "teacher-probe",
        None,
        "a linear probe on two teachers' vectors side by side",
        TWO_TEACHERS,
    ),
    ("teacher-probe-maxima", "teacher", "teacher-probe", None, "a linear probe on the vectors and on maxima", MAXIMA),
    ("own-two", "recipes", "own", "own", "own embeddings of two teachers, Lite0 and Lite2, side by side", TWO_TEACHERS),
)

# One training a fold where three seeds would take 7 hours more by the plan: beside the magnetic tiles as they are, and of what
# is trained long or, with a trunk, on large pictures.
_ONE_SEED = tuple((fold, 0) for fold in range(FOLDS))
_ONE_SEED_DATA = ("magnetic-tile-thinned", "magnetic-tile-six")
_ONE_SEED_NAMES = ("own-long", "none-long", "own-long-160px", "trunk-30-160px", "trunk-own-30-160px")


def _as_affordable(one: Condition) -> Condition:
    """Return a condition with one seed where more would take too long, and what asks its students likewise."""
    costly = one.data in _ONE_SEED_DATA or (one.of or one.name) in _ONE_SEED_NAMES
    return replace(one, only=_ONE_SEED) if costly else one


CONDITIONS: dict[str, Condition] = {
    f"{one.data}/{one.name}": _as_affordable(one)
    for one in [
        *_of("magnetic-tile", "teacher", *_TEACHER),
        *_of("magnetic-tile", "baselines", *_SEARCHED, *_CONTROLS),
        *_of("magnetic-tile", "baselines", *_RIVALS),
        *(replace(one, only=((0, 0),)) for one in _of("magnetic-tile", "baselines", *_LIVE)),
        *_of("magnetic-tile", "summaries", *(one for one in _SUMMARIES if one[0] != _EVEN), *_LARGE_SUMMARIES),
        *_of("magnetic-tile", "recipes", *_RECIPES),
        *(
            Condition(name, "magnetic-tile", part, method, recipe, says, kept=kept)
            for name, part, method, recipe, says, kept in _MORE
        ),
        *_asked("own-160px", "compressed-16", "own-long"),
        *_with_patches(
            "teacher-probe",
            "none-160px",
            "own-160px",
            "own-long",
            "own-long-160px",
            "compressed-16-160px",
            "trunk-30",
            "trunk-own-30",
            "trunk-30-160px",
            "trunk-own-30-160px",
        ),
        *_of("magnetic-tile-given", "teacher", *_TEACHER),
        *_of("magnetic-tile-given", "baselines", *(line for line in _SEARCHED if line[0] == "own"), _RIVALS[0]),
        *_of("magnetic-tile-thinned", "teacher", *_TEACHER),
        *_of("magnetic-tile-thinned", "baselines", *(line for line in _SEARCHED if line[0] in _THIN), _RIVALS[0]),
        *_of("magnetic-tile-thinned", "summaries", *(line for line in _SUMMARIES if line[0] in _THIN)),
        *_of("magnetic-tile-six", "baselines", *(one for one in (*_SEARCHED, *_CONTROLS) if one[0] in _SIX)),
    ]
}
