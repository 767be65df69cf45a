"""A small store for triage, and what it must hold, in plain Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers import store_of, unit_vectors

from embedstore import EmbeddingStore
from embedstore.triage import Verdict

Row = dict[str, str | None]

FIELDS = ("label", "mode", "group", "split", "verdict", "line")
IDS = [f"{name}.png" for name in "abcdefghij"]
LABELS = ["good", "crack"] * 4 + [None, "good"]
GROUPS = ["P", "P", "Q", None, None, "R", "R", "R", None, "S"]
SPLITS = ["train", "train", "val", "test", None, "train", "train", "aside", "train", "test"]


def make(path: Path, **changed: Any) -> EmbeddingStore:
    """Return a store of ten samples, at version 1."""
    fields = {
        "ids": IDS,
        "labels": LABELS,
        "groups": GROUPS,
        "splits": SPLITS,
        "modes": ["odd"] * 5 + [None] * 5,
        **changed,
    }
    return store_of(path, unit_vectors(3, len(fields["ids"])), **fields)


def rows(store: EmbeddingStore) -> dict[str, Row]:
    """Return all fields of all samples."""
    return {one.id: {name: getattr(one, name, one.attributes.get(name)) for name in FIELDS} for one in store.samples}


def told(before: Mapping[str, Row], verdicts: Mapping[str, Verdict]) -> dict[str, Row]:
    """Return what is to be after a triage of samples none of which is dirt, but for the names of new groups."""
    after = {one: dict(row) for one, row in before.items()}
    parts = {one: {other for other in after if other == one or (row["group"] and after[other]["group"] == row["group"])}
             for one, row in before.items()}  # fmt: skip
    for one, said in verdicts.items():
        after[one]["verdict"] = said.kind
        if said.kind == "wrong-label":
            after[one]["label"] = said.value
        if said.kind == "dirt":
            after[one]["split"] = "aside"
        if said.kind == "twin":
            united = parts[one] | parts[str(said.value)]
            parts |= dict.fromkeys(united, united)
    for one, part in parts.items():
        given = sorted({str(before[other]["group"]) for other in part} - {"None"})
        sizes = {group: sum(row["group"] == group for row in before.values()) for group in given}
        if given:
            after[one]["group"] = max(given, key=lambda group: sizes[group])
        elif len(part) > 1:
            after[one]["group"] = f"twins of {min(part)}"
    return after
