"""A manifest that was forgotten: names of folders and files must not take the place of the labels and ids that it gave."""

from __future__ import annotations

from collections.abc import Mapping

from embedstore.errors import SettingsError
from embedstore.images import Listing, sample_id
from embedstore.store.fields import Record


class LostManifestError(SettingsError):
    """A manifest said otherwise than names of folders and files; `said` is what, for a caller who knows another remedy."""

    def __init__(self, said: str, remedy: str):
        super().__init__(f"{said}; give a manifest that names all pictures: {remedy}")
        self.said = said


def refuse_lost_manifest(
    listing: Listing, known: Mapping[str, Record], command: str, *, labels: bool = True, instead: str = ""
) -> None:
    """Refuse to take folders' and files' names for labels and ids where a manifest gave others: all would change at once.

    Args:
        listing: of a folder, without a manifest.
        known: what the store has: id -> record.
        command: that is to be called with the manifest, such as `embedstore build STORE IMAGES`.
        labels: whether the listing's labels count; not where one is given by hand.
        instead: what else can be done, as the end of a sentence.

    Raises:
        LostManifestError: a manifest said otherwise.
    """
    ids = {sample_id(record.uri): one for one, record in known.items()}
    for sample in listing.samples:
        one = ids.get(sample_id(sample.uri), sample.id)
        said = (known[one].source or {}) if one in known else {}
        if one != sample.id:
            was, now = f"id of '{sample.uri}' is '{one}'", f"its path is '{sample.id}'"
        elif labels and "label" in said and said["label"] != sample.label:
            was, now = f"label of '{one}' is '{said['label']}'", f"its folder's name is '{sample.label}'"
        else:
            continue
        raise LostManifestError(f"A manifest said that the {was}, and {now}", f"{command} --manifest FILE{instead}")
