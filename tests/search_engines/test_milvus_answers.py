"""Milvus answers what a scan of the store answers, under any filter, and its rows are what the store says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import store_of, unit_vectors
from hostile_store import ATTRIBUTES, COUNT, DIM, HOSTILE, IDS, LABELS

from embedstore import EmbeddingStore
from embedstore.errors import SettingsError, StoreError
from embedstore.search_engines import EngineExport, SearchExport, export_to, open_export
from embedstore.vectors import unit_length

QUERIES = np.random.default_rng(4).normal(size=(4, DIM)).astype(np.float32)
FILTERS: list[dict[str, str | None]] = [
    {},
    *({"label": text} for text in HOSTILE),
    {"label": None},
    {"照明 角度": HOSTILE[0], "label": HOSTILE[1]},
    {"照明 角度": None, "in": None},
    {"light_1": "x", "split": None},
]


def passes(at: int, where: dict[str, str | None]) -> bool:
    known: dict[str, Any] = {"label": LABELS[at], "split": None} | ATTRIBUTES[at]
    return all(known.get(name) == text for name, text in where.items())


@pytest.mark.parametrize("where", FILTERS, ids=range(len(FILTERS)))
def test_answers_are_those_of_a_scan(store: EmbeddingStore, served: SearchExport, where: dict[str, str | None]) -> None:
    asked = np.concatenate([QUERIES, store.vectors([IDS[3], IDS[200]])])  # one has 60 copies, one is zeros
    for top in (1, 5, 70, COUNT + 9):
        exclude = IDS[3:4] + IDS[110:112]
        expected = store.search(asked, top=top, where=where, exclude=exclude, exact=True)
        assert store.search(asked, top=top, where=where, exclude=exclude, via=served) == expected
        assert len(expected[0]) == min(top, sum(passes(at, where) and IDS[at] not in exclude for at in range(COUNT)))


@pytest.mark.parametrize("where", FILTERS, ids=range(len(FILTERS)))
def test_the_filter_is_kept_by_milvus_itself(
    store: EmbeddingStore, served: SearchExport, where: dict[str, str | None]
) -> None:
    positions, similarities = served.nearest(QUERIES, COUNT, where)
    expected = [at for at in range(COUNT) if passes(at, where)]
    cosines = unit_length(QUERIES).astype(np.float64) @ unit_length(store.vectors()).astype(np.float64).T
    for own, told, exact in zip(positions, similarities, cosines, strict=True):
        there = own >= 0
        assert sorted(own[there].tolist()) == expected
        np.testing.assert_allclose(told[there], exact[own[there]], atol=1e-6)
        assert (told[~there] == -np.inf).all()


def test_a_filter_takes_any_text(tmp_path: Path) -> None:
    texts = [
        "",
        " ",
        "\0",
        "a\0b",
        "\x1b\x7f\x0b",
        "\u2028",
        "\ufeff",
        "\U0001f600",
        r"\u0041",
        "A",
        r"\0",
        "null",
        "NULL",
        "x" * 65_535,
    ]
    labels = [*texts, None]
    with store_of(tmp_path / "texts.store", unit_vectors(1, len(labels), 4), labels=labels) as opened:
        export_to(opened, "milvus", str(tmp_path / "texts.db"))
        with open_export(opened, "milvus", str(tmp_path / "texts.db")) as export:
            for at, text in enumerate(labels):
                positions, _ = export.nearest(QUERIES[:1, :4], len(labels), {"label": text})
                assert positions[positions >= 0].tolist() == [at]


def test_a_sample_is_asked_for_by_its_id(store: EmbeddingStore, served: SearchExport) -> None:
    for sample_id in IDS[:9]:
        assert store.query(id=sample_id, top=7, via=served) == store.query(id=sample_id, top=7, exact=True)


def test_the_rows_are_what_the_store_says(store: EmbeddingStore, made: EngineExport, served: SearchExport) -> None:
    rows = served.copy.engine._client.query(served.copy.place, filter="", limit=COUNT + 1, output_fields=["*"])  # type: ignore[attr-defined]
    by_id = {row["id"]: row for row in rows}
    assert len(rows) == COUNT == made.count
    for at, name in enumerate(IDS):
        row, said = by_id[name], ATTRIBUTES[at]
        np.testing.assert_allclose(row.pop("vector"), unit_length(store.vectors([name]))[0], atol=1e-7)
        assert row == {
            "id": name, "uri": name, "label": LABELS[at], "mode": None, "group": f"part {at // 3}", "split": None,
            "attribute_in": said.get("in"), "attribute_light_1": said.get("light_1"), "attribute_2": said.get("照明 角度"),
        }  # fmt: skip


def test_what_was_measured_is_told(made: EngineExport) -> None:
    assert (made.collection, made.version, made.view, made.kind, made.exact, made.effort) == (
        "parts",
        1,
        0,
        "FLAT",
        True,
        None,
    )
    assert (made.recall, made.faiss_overlap, made.queries, made.seed) == (1.0, 1.0, 200, 0)


def test_what_can_not_be_asked_is_refused(store: EmbeddingStore, served: SearchExport) -> None:
    with pytest.raises(
        SettingsError, match=r"^A search engine is asked, or the store is, by a scan or its index; leave out one"
    ):
        store.search(QUERIES, exact=True, via=served)
    with pytest.raises(StoreError, match=r"^No sample has the field 'lamp'; use one of"):
        store.search(QUERIES, where={"lamp": "1"}, via=served)
    with (
        EmbeddingStore(store.path) as again,
        pytest.raises(SettingsError, match=r"open it for the store that is asked\.$"),
    ):
        again.search(QUERIES, via=served)
