"""`--where`: which samples a command takes."""

from typing import Annotated

import typer

from embedstore.errors import SettingsError

WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        help="FIELD=VALUE over label, mode, group, split or another column, FIELD= for none; once for each field."
    ),
]


def conditions(texts: list[str]) -> dict[str, str | None]:
    """Return what `--where` asks for, field -> value; nothing behind the equals sign asks for samples without one.

    Raises:
        SettingsError: a text is no condition, or a field has two.
    """
    asked: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError(f"The condition '{text}' is not of the form FIELD=VALUE, such as label=good.")
        if asked.setdefault(name, value or None) != (value or None):
            raise SettingsError(
                f"The field '{name}' was asked to be both '{asked[name] or ''}' and '{value}', which no sample meets; give one "
                "condition for each field, or the command once for each value."
            )
    return asked
