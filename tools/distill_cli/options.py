"""Options that several verbs take, with one help text each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from distill.targets.mixture import LabelWithoutPolicyError
from distill.training.settings import ANSWERS, PATCHES, Settings
from embedstore.errors import SettingsError

_DEFAULT = Settings()


def explained(says: str, default: object) -> str:
    """Return an option's help with its default, which is None in the signature: a task file may have another."""
    return f"{says} [default: {default}]"


@contextmanager
def naming_the_table(task: Path | None) -> Iterator[None]:
    """Name the task file and its table where a mixture leaves a label out; None: it came from no file."""
    try:
        yield
    except LabelWithoutPolicyError as error:
        if task is None:
            raise
        raise SettingsError(
            f"In '{task}', the table [policy] gives no policy for the label '{error.label}'; add a line for each of the training "
            "labels."
        ) from error


def refuse_idle_patches(patches: str | None, settings: Settings) -> None:
    """Refuse to say where patches are looked for, where nobody looks at them.

    Raises:
        SettingsError: the answer is another.
    """
    if patches is not None and settings.answer != PATCHES:
        raise SettingsError(
            f"--patches {patches} says in whose maps the answer patches looks, but the answer is '{settings.answer}'; give "
            "--answer patches, too."
        )


Good = Annotated[str | None, typer.Option(help="The label of good parts; escape and overkill need it.")]
Student = Annotated[
    str | None,
    typer.Option(
        help=explained(
            "small, medium, a timm model's name, the first stages of a teacher as trunk:TEACHER:STAGES (scratch: from random "
            "weights), or your own MODULE:FUNCTION that gives a module.",
            _DEFAULT.student,
        )
    ),
]
Weight = Annotated[float | None, typer.Option("--lambda", help=explained("Weight of the alignment.", _DEFAULT.weight))]
Size = Annotated[int | None, typer.Option(help=explained("Side of the student's input, in pixels.", _DEFAULT.size))]
Views = Annotated[int | None, typer.Option(help=explained("How many of the stored augmented views to use.", "all"))]
Epochs = Annotated[int | None, typer.Option(help=explained("Passes over the training pictures.", _DEFAULT.epochs))]
LearningRate = Annotated[
    float | None,
    typer.Option(help=explained("The highest of the schedule.", _DEFAULT.learning_rate)),
]
Pretrain = Annotated[
    int | None,
    typer.Option(
        "--pretrain-epochs",
        help=explained(
            "Epochs before these that learn from targets alone, unlabelled pictures too.", _DEFAULT.pretrain_epochs
        ),
    ),
]
Balance = Annotated[
    float | None,
    typer.Option(
        help=explained("How evenly labels are drawn, from 0, as they are, to 1, all alike.", _DEFAULT.balance)
    ),
]
Adjustment = Annotated[
    float | None,
    typer.Option(
        "--logit-adjustment",
        help=explained("Against answering rare labels too seldom: tau, such as 1; 0: none.", _DEFAULT.logit_adjustment),
    ),
]
Ema = Annotated[
    float | None,
    typer.Option(help=explained("Decay of a moving average of the weights, such as 0.99; 0 for none.", _DEFAULT.ema)),
]
Keep = Annotated[
    str | None,
    typer.Option(help=explained("The last epoch's student, or the best on the validation side.", _DEFAULT.keep)),
]
Answer = Annotated[
    str | None,
    typer.Option(
        help=explained(
            f"Who is asked in the end: {', '.join(ANSWERS)}; all but the head are made of the training pictures.",
            _DEFAULT.answer,
        )
    ),
]
Patches = Annotated[
    str | None,
    typer.Option(
        help=explained("TEACHER:STAGES in whose maps the answer patches looks, as after trunk:.", _DEFAULT.patches)
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help=explained(
            "What the student computes in while it learns: float32, bfloat16, or auto, which is bfloat16 where that is known to "
            "be faster.",
            _DEFAULT.precision,
        )
    ),
]
GateOverkill = Annotated[
    bool,
    typer.Option("--gate-overkill", help="Fail, too, when good parts are rejected more often beyond the interval."),
]
AcceptUnknown = Annotated[
    bool, typer.Option("--accept-unknown", help="Exit code 0, not 3, where nothing rose but some kinds can't be told.")
]
Overkill = Annotated[
    float | None, typer.Option(help=explained("Share of good parts that may be rejected.", _DEFAULT.overkill))
]
