"""What is made of an engine's proposals, whatever it is: ranked by the store, asked for more at a tie, measured."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from helpers import store_of, unit_vectors

from embedstore import EmbeddingStore
from embedstore.analysis.requests import EngineWarning
from embedstore.errors import OutOfStepError, SearchEngineError, SettingsError
from embedstore.search_engines.agreement import agreement
from embedstore.search_engines.copies import Copy, SearchExport
from embedstore.search_engines.milvus import Told
from embedstore.search_engines.record import ExportRecord
from embedstore.vectors import unit_length

COUNT, DIM = 120, 6
VECTORS = unit_vectors(2, COUNT, DIM)
VECTORS[20:60] = VECTORS[5]


class ToyEngine:
    """Names the nearest by NumPy, of equals the last first, and forgets some; `effort` of 4 forgets none."""

    uri = "toy"

    def __init__(self, store: EmbeddingStore, most: int = 1000, forgotten: int = 0) -> None:
        self.most_answers, self.forgotten = most, forgotten
        self.ids = store.ids
        self.asked: list[int] = []

    def search(
        self, place: str, queries: Any, count: int, where: Mapping[str, str | None], kind: str, effort: int | None
    ) -> Told:
        self.asked.append(count)
        cosines = np.round(queries @ unit_length(VECTORS).T, 6)  # so that copies are equals
        left = 0 if effort == 4 else self.forgotten
        order = np.argsort(-cosines[:, ::-1], axis=1, kind="stable")
        order = (COUNT - 1 - order)[:, : min(count, COUNT)]
        if left:
            order = order[:, ::left]
        similarities = np.full((len(queries), count), -np.inf)
        similarities[:, : order.shape[1]] = np.take_along_axis(cosines, order, 1)
        return Told([[self.ids[at] for at in row] for row in order.tolist()], similarities)


def export_of(store: EmbeddingStore, engine: ToyEngine) -> SearchExport:
    record = ExportRecord(1, "", "", "", "", "", "", 0, COUNT, DIM, "toy", None, None, {})
    export = SearchExport(Copy(cast(Any, engine), "here", "toy", store), record, "toy", "export")
    export._checked = store.version
    return export


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return store_of(tmp_path / "store", VECTORS)


def test_of_equals_the_first_in_the_store_wins_though_the_engine_names_the_last(store: EmbeddingStore) -> None:
    engine = ToyEngine(store)
    asked = np.concatenate([VECTORS[5:6], VECTORS[100:101]])
    for top in (1, 3, 41, 50):
        assert store.search(asked, top=top, via=export_of(store, engine)) == store.search(asked, top=top, exact=True)
    assert engine.asked[:7] == [2, 4, 8, 16, 32, 64, 4]


def test_more_equals_than_an_engine_names_is_told(store: EmbeddingStore) -> None:
    with pytest.warns(
        EngineWarning, match=r"^More than 30 samples are as near as the last answer, and the engine names no more"
    ):
        found = store.search(VECTORS[5:6], top=3, via=export_of(store, ToyEngine(store, most=30)))
    assert [hit.similarity for hit in found[0]] == pytest.approx([1, 1, 1], abs=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.search(VECTORS[100:101], top=3, via=export_of(store, ToyEngine(store, most=30)))


def test_more_answers_than_an_engine_names_at_once_are_refused(store: EmbeddingStore) -> None:
    with pytest.raises(
        SettingsError, match=r"^31 answers are wanted, and the engine names up to 30 at once; ask for fewer"
    ):
        store.search(VECTORS[5:6], top=31, via=export_of(store, ToyEngine(store, most=30)))


def test_fewer_answers_than_there_are_is_told(store: EmbeddingStore) -> None:
    with pytest.warns(
        EngineWarning, match=r"^The engine names fewer samples than meet the conditions, for 1 of 1 queries"
    ):
        found = store.search(VECTORS[100:101], top=COUNT, via=export_of(store, ToyEngine(store, forgotten=2)))
    assert len(found[0]) == COUNT // 2


def test_a_sample_that_the_store_does_not_have_is_refused(store: EmbeddingStore) -> None:
    engine = ToyEngine(store)
    engine.ids = [f"{name}?" for name in engine.ids]
    with pytest.raises(
        OutOfStepError, match=r"^'toy' names 'sample 00100\?', which '.*' does not have: somebody else changed"
    ):
        store.search(VECTORS[100:101], top=1, via=export_of(store, engine))


def test_the_recall_is_the_share_that_is_named_and_the_least_effort_that_reaches_it(tmp_path: Path) -> None:
    with store_of(tmp_path / "other", VECTORS) as store:
        copy = Copy(cast(Any, ToyEngine(store, forgotten=2)), "here", "toy", store)
        half = agreement(copy, view=0, most=None, wanted=0.9, queries=COUNT, seed=1)
        # It names itself and every second of 10. Of the 41 copies the last 11 are the nearest; every second of those makes 6,
        # and only 6 of the copies that ask are among them.
        assert half.recall == pytest.approx((79 * 5 + 6 * 5 + 35 * 6) / (10 * COUNT))
        assert (half.queries, half.faiss, half.effort) == (COUNT, half.recall, None)
        whole = agreement(copy, view=0, most=8, wanted=0.95, queries=40, seed=1)
        assert (whole.effort, whole.recall, whole.faiss) == (4, 1.0, 1.0)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 1}', '{"format": 1, "version": 1, "x": 2}'])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(
        SearchEngineError, match=r"is not what an export wrote; export the store again with --overwrite\.$"
    ):
        ExportRecord.from_json(text)


def test_a_record_comes_back_and_a_later_one_is_refused() -> None:
    record = ExportRecord(3, "a", "b", "c", "d", "教師", "f", 0, 5, 2, "HNSW", 16, 0.98, {"label": "label"})
    assert ExportRecord.from_json(record.to_json()) == record
    for wrong in (record.to_json().replace("0.98", '"x"'), record.to_json().replace("16", '"16"')):
        with pytest.raises(SearchEngineError, match="is not what an export wrote"):
            ExportRecord.from_json(wrong)
    with pytest.raises(
        SearchEngineError, match=r"^The export is of format 2, and this release reads 1; export the store again"
    ):
        ExportRecord.from_json(record.to_json().replace('"format": 1', '"format": 2'))
