"""Hidden modes: what a class mean hides and prototypes of its own do not, with shares as plain loops find them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import planted_parts as planted
import pytest

from embedstore import EmbeddingStore, Summary
from embedstore.analysis.suggestions import Suggestion, suggest
from embedstore.errors import SummaryError
from embedstore.triage import Verdict
from embedstore.vectors import unit_length

SHORT = [at for at in range(planted.COUNT) if planted.MODES[at] == "short"]


def found(store: EmbeddingStore, against: Summary | None = None) -> tuple[list[Suggestion], list[str]]:
    result = suggest(store, kinds=["hidden-modes"], against=against)
    return result.by_kind["hidden-modes"], [remark.en for remark in result.remarks["hidden-modes"]]


def test_a_class_mean_hides_the_planted_mode(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        means = store.summarize("class-mean", split="train")
        (one,), remarks = found(store, means)
        away = {
            label: np.linalg.norm(unit_length(store.vectors(planted.IDS)) - unit_length(vector), axis=1)
            for label, vector in zip(means.labels, means.vectors, strict=True)
        }
    astray = sum(away["good"][at] < away["crack"][at] for at in SHORT)
    seen = [at for at in SHORT if planted.SPLITS[at] == "train"]
    assert astray
    assert 0 < len(seen) < len(SHORT)
    assert one.score == astray / len(SHORT)
    assert one.reason.en.startswith(
        "'crack' has 1 prototype and none that stands mostly for 'short', so prototypes that it shares with others speak for "
        f"the {len(seen)} pictures of it that the summary was made from ({len({planted.PART[at] for at in seen})} parts). Not in "
        f"the summary: {len(SHORT) - len(seen)} pictures more. Nearer to a prototype of another label than to any of its own: "
        f"{astray} of {len(SHORT)} ({astray / len(SHORT):.0%})."
    )
    assert remarks[0].startswith("Compared with the summary '")


def test_its_examples_are_the_most_typical_of_the_seen_one_a_part_and_called_rare(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        (one,), _ = found(store, store.summarize("class-mean", split="train"))
    seen = [at for at in SHORT if planted.SPLITS[at] == "train"]
    directions = unit_length(planted.VECTORS.astype(np.float16)).astype(float)
    order = sorted(seen, key=lambda at: -directions[at] @ directions[seen].sum(axis=0))
    best: dict[int, str] = {}
    for at in order:
        best.setdefault(int(planted.PART[at]), planted.IDS[at])
    assert list(one.ids) == list(best.values())[:3]
    assert one.verdicts == dict.fromkeys(one.ids, Verdict("rare"))


def test_prototypes_of_its_own_show_it(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        assert found(store)[0] == []  # 16 a label
        assert found(store, store.summarize("sub-prototypes", k=4, split="train"))[0] == []


def test_a_mode_that_the_summary_never_saw_is_told_as_such(tmp_path: Path) -> None:
    splits = ["test" if at in SHORT else "train" for at in range(planted.COUNT)]
    with planted.make(tmp_path / "s", splits=splits) as store:
        (one,), _ = found(store, store.summarize("sub-prototypes", k=4, split="train"))
    assert f"was made without any of the {len(SHORT)} pictures of 'short' ('crack'," in one.reason.en
    assert set(one.ids) <= {planted.IDS[at] for at in SHORT}


def test_all_samples_of_a_label_that_the_summary_lacks_are_astray(tmp_path: Path) -> None:
    splits = ["train" if label == "good" else "test" for label in planted.LABELS]
    with planted.make(tmp_path / "s", splits=splits) as store:
        listed, _ = found(store, store.summarize("class-mean", split="train"))
    assert {one.reason.en.split("'")[1] for one in listed} == {"long", "short"}
    assert {one.score for one in listed} == {1.0}


def test_what_only_its_own_part_speaks_for_is_not_called_astray(tmp_path: Path) -> None:
    labels, modes = list(planted.LABELS), list(planted.MODES)
    for at, mode in zip(planted.of(19), ("m1", "m2"), strict=True):
        labels[at], modes[at] = "dent", mode
    with planted.make(tmp_path / "s", labels=labels, modes=modes) as store:
        listed, _ = found(store, store.summarize("class-mean", split="train"))
    scores = {one.reason.en.split("'")[3]: one.score for one in listed}
    assert scores["m1"] == scores["m2"] == 0 < scores["short"]
    assert listed[0].ids[0] not in [planted.IDS[at] for at in planted.of(19)]
    assert listed[-1].reason.en == (
        "'dent' has 1 prototype and none that stands mostly for 'm2', so prototypes that it shares with others speak for the 1 "
        "picture of it that the summary was made from (1 part). No other part tells whether they lie nearer to another label."
    )


def test_examples_whose_label_is_suspected_are_named(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        result = suggest(store, against=store.summarize("class-mean", split="train"), top=500)
    (one,) = result.by_kind["hidden-modes"]
    suspected = {other.ids[0] for other in result.by_kind["wrong-labels"]}
    doubtful = [name for name in one.ids if name in suspected]
    assert doubtful
    named = ", ".join(f"'{name}'" for name in doubtful)
    assert f"in doubt, too (wrong-labels): {named}; settle that first." in one.reason.en
    said = [{"verdict": "wrong-label"} if name in doubtful else None for name in planted.IDS]
    with planted.make(tmp_path / "t", attributes=said) as store:
        (one,), _ = found(store, store.summarize("class-mean", split="train"))
    assert "in doubt" not in one.reason.en


def test_where_all_labelled_pictures_are_aside_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s", splits=["aside"] * planted.COUNT) as store:
        listed, remarks = found(store)
        assert listed == []
        assert remarks[0].startswith("All labelled pictures are set aside")
        with pytest.raises(SummaryError, match="no summary 'means'"):
            suggest(store, kinds=["hidden-modes"], against="means")


def test_codes_of_own_vectors_hide_no_mode(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        listed, remarks = found(store, store.summarize("compressed-own", split="train"))
    assert listed == []
    assert remarks == ["The summary keeps a code of each picture's own vector, so no mode is averaged with others."]


def test_a_summary_of_another_teacher_is_refused_whatever_it_keeps(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s") as store:
        for strategy in ("class-mean", "compressed-own"):
            foreign = replace(store.summarize(strategy, split="train"), fingerprint="another")
            with pytest.raises(SummaryError, match="is of another teacher"):
                suggest(store, kinds=["hidden-modes"], against=foreign)


def test_without_modes_there_is_nothing_to_hide(tmp_path: Path) -> None:
    with planted.make(tmp_path / "s", modes=[None] * planted.COUNT) as store:
        listed, remarks = found(store)
    assert listed == []
    assert remarks[0].startswith("No labelled picture has a mode")
