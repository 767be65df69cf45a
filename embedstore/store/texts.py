"""Texts and names of attributes on their way into a store: checked, and in one Unicode form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from embedstore.errors import StoreError
from embedstore.images import FIELDS, SPLITS
from embedstore.store.fields import ATTRIBUTE, ID, URI, as_stored

Texts = Sequence[str | None]

RESERVED = (ID, "path", *FIELDS)  # names of columns in every file that leaves a store, so of no attribute


def checked_texts(name: str, texts: Sequence[str | None], count: int) -> list[str | None]:
    """Return texts as they are stored.

    Raises:
        StoreError: there are not `count` of them, or one is empty, no text, no text that UTF-8 can hold, or no split.
    """
    shown = name.removeprefix(ATTRIBUTE)
    if len(texts) != count:
        raise StoreError(
            f"{len(texts)} texts were given for the field '{shown}'; expected one for each of the {count} samples."
        )
    distinct = set(texts)
    if not all(text is None or (isinstance(text, str) and text) for text in distinct):
        raise StoreError(
            f"A value of the field '{shown}' is empty or no text; give texts, and None where there is none."
        )
    refuse_surrogates(f"value of the field '{shown}'", (text for text in distinct if text is not None))
    # A path is kept as it is on the disk; all else has one Unicode form.
    known = {text: text if text is None or name == URI else as_stored(text) for text in distinct}
    stored = list(map(known.__getitem__, texts))
    wrong = next((text for text in distinct if text not in (None, *SPLITS)), None)
    if name == "split" and wrong is not None:
        raise StoreError(f"There is no split '{wrong}'; use one of {', '.join(SPLITS)}.")
    return stored


def attribute_fields(given: Mapping[str, Texts]) -> dict[str, Texts]:
    """Return the texts of attributes by the names of their fields.

    Raises:
        StoreError: a name can't be used, or two of them are one name in two Unicode forms.
    """
    fields: dict[str, Texts] = {}
    for name, texts in given.items():
        field = attribute_field(name)
        if field in fields:
            raise StoreError(
                f"The attribute '{as_stored(name)}' is given twice, its name in two Unicode forms; leave one out, or rename it."
            )
        fields[field] = texts
    return fields


def attribute_field(name: str) -> str:
    """Return the field that holds an attribute.

    Raises:
        StoreError: the name can't be used.
    """
    if not name:
        raise StoreError("An attribute has an empty name; give it one.")
    if name in RESERVED:
        raise StoreError(
            f"An attribute can't be named '{name}', for that is the name of another column in every export; choose another name."
        )
    refuse_surrogates("name of an attribute", [name])
    return ATTRIBUTE + as_stored(name)


def refuse_surrogates(what: str, texts: Iterable[str]) -> None:
    """Refuse what UTF-8 can't hold, such as half an emoji or a file name that is no text.

    Raises:
        StoreError: one of the texts is such; `what` says what it is.
    """
    for text in texts:
        if isinstance(text, str) and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise StoreError(
                    f"A{'n' if what[0] in 'aeiou' else ''} {what} is no text that can be stored ({text!a}: {error.reason}); "
                    "give another."
                ) from error
