"""embedstore query: the samples nearest to a picture, a sample or a text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedstore_cli import console

if TYPE_CHECKING:
    from embedstore import EmbeddingStore
    from embedstore.vectors import Vectors


def query(
    store: Annotated[Path, typer.Argument(help="The store.", show_default=False)],
    image: Annotated[Path | None, typer.Option(help="Nearest to this picture.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Nearest to this sample.")] = None,
    text: Annotated[str | None, typer.Option(help="Nearest to this text; needs a teacher with a text tower.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=VALUE over label, mode, group, split or another column; may be given more than once."),
    ] = None,
    top: Annotated[int, typer.Option(help="How many answers.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Find the nearest samples by cosine similarity in the teacher's space.

    Example: embedstore query parts.store --image odd.png --where label=good --top 5
    """
    import embedstore
    from embedstore.errors import SettingsError

    if sum(given is not None for given in (image, id, text)) != 1:
        raise SettingsError("Give one of --image, --id and --text, to say what is looked for.")
    with embedstore.open(store) as opened:
        vectors = opened.vectors([id]) if id is not None else _embed(opened, image, text)
        hits = opened.search(vectors, top=top, where=_conditions(where or []), exclude=[id] if id is not None else [])[
            0
        ]
    if json:
        console.print_json([hit.__dict__ for hit in hits])
        return
    rows = [[f"{hit.similarity:.3f}", hit.label or "-", hit.mode or "-", hit.group or "-", hit.id] for hit in hits]
    console.table(f"Nearest in '{store}'", ["similarity", "label", "mode", "group", "id"], rows, right=(0,))
    if not hits:
        console.say("No sample meets the conditions.")


def _embed(store: "EmbeddingStore", image: Path | None, text: str | None) -> "Vectors":
    """Return the vector of a picture or a text by the store's own teacher, whose fingerprint is checked."""
    import embedstore
    from embedstore.errors import PictureError, TeacherError
    from embedstore.pictures import read_picture
    from embedstore.teachers import TextTeacher
    from embedstore.views import WHOLE, render

    teacher = embedstore.load_teacher(store.teacher)
    store.check_teacher(teacher)
    if text is not None:
        if not isinstance(teacher, TextTeacher):
            raise TeacherError(
                f"The teacher '{teacher.name}' reads no text; build the store with an open_clip teacher for that."
            )
        return teacher.embed_text([text])
    assert image is not None  # noqa: S101  one of the two is given
    try:
        picture, _ = read_picture(image)
    except PictureError as error:
        raise PictureError(f"The picture '{image}' {error}; give a readable picture.") from error
    return teacher.embed(render(picture, WHOLE, teacher.input_size, store.recipe.fit)[None])["embedding"]


def _conditions(texts: list[str]) -> dict[str, str | None]:
    from embedstore.errors import SettingsError

    conditions: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError(f"The condition '{text}' is not of the form FIELD=VALUE, such as label=good.")
        conditions[name] = value or None
    return conditions
