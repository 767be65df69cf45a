"""What every kind of suggestion must hold, whatever it looks for: one suite over all of them, on a store with known faults."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import planted_parts as planted
import pytest

import embedstore
from embedstore import EmbeddingStore
from embedstore.analysis.suggestions import KINDS, StudentScores, Suggestion, suggest
from embedstore.errors import SettingsError, SummaryError
from embedstore.triage import plan_triage

HOSTILE = "[red]{own} & <b>\x1b[2J\u202e"

every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingStore]:
    with planted.make(tmp_path_factory.mktemp("planted") / "store") as opened:
        yield opened


def found(store: EmbeddingStore, kind: str, top: int = 50) -> list[Suggestion]:
    """Return what a kind suggests, modes against class means, which hide one."""
    means = store.summarize("class-mean", split="train")
    return suggest(store, kinds=[kind], against=means, top=top, student=planted.student()).by_kind[kind]


@every_kind
def test_suggestions_name_samples_and_rank_them(store: EmbeddingStore, kind: str) -> None:
    listed = found(store, kind)
    assert listed
    for one in listed:
        assert one.kind == kind
        assert one.ids
        assert len(set(one.ids)) == len(one.ids)
        assert all(sample_id in store for sample_id in one.ids)
        assert set(one.verdicts) <= set(one.ids)
        assert math.isfinite(one.score)
    scores = [one.score for one in listed]
    assert scores == sorted(scores, reverse=True)
    assert len({one.ids for one in listed}) == len(listed)


@every_kind
def test_reasons_are_whole_sentences_in_both_languages(store: EmbeddingStore, kind: str) -> None:
    for one in found(store, kind):
        assert one.reason.en.endswith(".")
        assert one.reason.ja.endswith("。")
        assert one.reason.en.isascii()
        assert not {"{", "}"} & set(one.reason.en + one.reason.ja)
    for remark in suggest(store, kinds=[kind]).remarks[kind]:
        assert remark.en.isascii()
        assert not remark.ja.isascii()


@every_kind
def test_what_is_proposed_can_be_written(store: EmbeddingStore, kind: str) -> None:
    for one in found(store, kind):
        if one.verdicts:
            assert plan_triage(store, one.verdicts, since=store.version).samples >= 1


@every_kind
def test_neither_the_order_of_rows_nor_another_call_changes_anything(
    store: EmbeddingStore, tmp_path: Path, kind: str
) -> None:
    first = found(store, kind)
    assert found(store, kind) == first
    shuffled = np.random.default_rng(1).permutation(planted.COUNT).tolist()
    with planted.make(tmp_path / "other", shuffled) as other:
        assert found(other, kind) == first


@every_kind
def test_top_cuts_the_list_and_changes_nothing_else(store: EmbeddingStore, kind: str) -> None:
    assert found(store, kind, top=1) == found(store, kind)[:1]


@every_kind
def test_dirt_is_never_suggested(store: EmbeddingStore, tmp_path: Path, kind: str) -> None:
    named = {sample_id for one in found(store, kind) for sample_id in one.ids}
    attributes = [{"verdict": "dirt"} if name in named else None for name in planted.IDS]
    with planted.make(tmp_path / "dirty", attributes=attributes) as dirty:
        assert not named & {sample_id for one in found(dirty, kind) for sample_id in one.ids}


@every_kind
def test_hostile_names_stand_in_the_reason_as_they_are(store: EmbeddingStore, tmp_path: Path, kind: str) -> None:
    spelt = {
        name: [HOSTILE + value if value else value for value in values]
        for name, values in (("ids", planted.IDS), ("labels", planted.LABELS), ("modes", planted.MODES))
    }
    plain = found(store, kind)
    with planted.make(tmp_path / "hostile", **spelt) as hostile:
        means = hostile.summarize("class-mean", split="train")
        said = planted.student()
        student = StudentScores(
            [HOSTILE + one for one in said.ids], [HOSTILE + one for one in said.classes], said.probabilities, True
        )
        listed = suggest(hostile, kinds=[kind], against=means, student=student).by_kind[kind]
    assert [one.ids for one in listed] == [tuple(HOSTILE + name for name in one.ids) for one in plain]
    assert all(HOSTILE in one.reason.en and HOSTILE in one.reason.ja for one in listed)


@every_kind
@pytest.mark.parametrize("lacking", ["labels", "modes", "splits", "groups"])
def test_what_is_lacking_is_told_and_never_an_error(tmp_path: Path, kind: str, lacking: str) -> None:
    with planted.make(tmp_path / "less", **{lacking: [None] * planted.COUNT}) as less:
        result = suggest(less, kinds=[kind], student=planted.student())
    assert result.by_kind[kind] or result.remarks[kind]


def test_all_kinds_are_asked_in_their_order_and_progress_is_told(store: EmbeddingStore) -> None:
    told: list[tuple[int, int]] = []
    result = suggest(store, top=2, student=planted.student(), progress=lambda done, total: told.append((done, total)))
    assert list(result.by_kind) == list(KINDS)
    assert result.version == store.version
    assert told == [(number, len(KINDS)) for number in range(len(KINDS) + 1)]


def test_what_can_not_be_is_refused(store: EmbeddingStore) -> None:
    with pytest.raises(SettingsError, match="number of suggestions is 0"):
        suggest(store, top=0)
    with pytest.raises(SettingsError, match="'twins' is unknown; use one of wrong-labels, torn-twins"):
        suggest(store, kinds=["twins"])
    with pytest.raises(SummaryError, match="no summary 'means'"):
        suggest(store, kinds=["hidden-modes"], against="means")


@every_kind
def test_of_an_empty_store_nothing_is_suggested(tmp_path: Path, kind: str) -> None:
    with embedstore.create(tmp_path / "empty", teacher="none", dim=4) as empty:
        result = suggest(empty, kinds=[kind], student=planted.student())
    assert result.by_kind[kind] == []
    assert result.remarks[kind]
