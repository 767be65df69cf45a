"""Options that several verbs take, with one help text each."""

from typing import Annotated

import typer

from distill.training.settings import Settings

_DEFAULT = Settings()


def explained(says: str, default: object) -> str:
    """Return an option's help with its default, which is None in the signature: a task file may have another."""
    return f"{says} [default: {default}]"


Good = Annotated[str | None, typer.Option(help="The label of good parts; escape and overkill need it.")]
Student = Annotated[str | None, typer.Option(help=explained("small, or a timm model's name.", _DEFAULT.student))]
Weight = Annotated[float | None, typer.Option("--lambda", help=explained("Weight of the alignment.", _DEFAULT.weight))]
Size = Annotated[int | None, typer.Option(help=explained("Side of the student's input, in pixels.", _DEFAULT.size))]
Views = Annotated[int | None, typer.Option(help=explained("How many of the stored augmented views to use.", "all"))]
Epochs = Annotated[int | None, typer.Option(help=explained("Passes over the training pictures.", _DEFAULT.epochs))]
Overkill = Annotated[
    float | None, typer.Option(help=explained("Share of good parts that may be rejected.", _DEFAULT.overkill))
]
