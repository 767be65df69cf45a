"""What people said of samples changes the next summary: rare ones stay, dirt leaves, labels change."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers import store_of, text_vectors, training_of, unit_vectors

from embedstore import EmbeddingStore
from embedstore.errors import SummaryError
from embedstore.summaries import STRATEGIES, Prototypes, Summary, rare_samples
from embedstore.summaries.rare_samples import rarest
from embedstore.summaries.sub_prototypes import distances_to
from embedstore.triage import Verdict, triage
from embedstore.vectors import unit_length

COUNT, DIM = 90, 12
VECTORS = unit_vectors(1, COUNT, DIM)
LABELS: list[str | None] = ["many" if number % 5 else "few" for number in range(COUNT)]
LABELS[7] = None
GROUPS = [f"part {number // 2}" for number in range(COUNT)]
SPLITS = ["train" if number % 3 else "test" for number in range(COUNT)]
IDS = [f"sample {number:05d}" for number in range(COUNT)]
VERDICTS = {
    IDS[1]: Verdict("rare"),
    IDS[5]: Verdict("rare"),
    IDS[2]: Verdict("dirt"),
    IDS[4]: Verdict("wrong-label", "few"),
    IDS[7]: Verdict("wrong-label", "many"),
    IDS[10]: Verdict("twin", IDS[14]),
}
TRAINING = [label or "none" for label in LABELS]


@pytest.fixture(autouse=True)
def texts_are_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddingStore, "embed_text", lambda store, texts: text_vectors(texts, store.dim))


def without_version(summary: Summary) -> bytes:
    return replace(summary, store_version=0).to_bytes()


# Through a store


@pytest.mark.parametrize("split", ["train", None])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_is_the_summary_of_a_store_in_which_all_was_so_from_the_beginning(
    tmp_path: Path, strategy: str, split: str | None
) -> None:
    with store_of(tmp_path / "s", VECTORS, labels=LABELS, groups=GROUPS, splits=SPLITS) as store:
        before = store.summarize(strategy, split=split)
        triage(store, VERDICTS)
        found = store.summarize(strategy, split=split, name="saved")
        assert store.summary("saved").to_bytes() == found.to_bytes()
    labels, groups, splits = list(LABELS), list(GROUPS), list(SPLITS)
    labels[4], labels[7] = "few", "many"
    splits[2] = "aside"
    groups[10:12] = groups[14:16] = ["part 5"] * 2
    attributes = [{"verdict": VERDICTS[one].kind} if one in VERDICTS else None for one in IDS]
    with store_of(
        tmp_path / "t", VECTORS, labels=labels, groups=groups, splits=splits, attributes=attributes
    ) as expected:
        whole = expected.summarize(strategy, split=split)
    assert without_version(replace(found, name=whole.name)) == without_version(whole) != without_version(before)
    assert set(before.seen) ^ set(found.seen) == {IDS[2], IDS[7]}
    assert IDS[2] not in found.seen


def test_in_a_store_without_a_split_dirt_leaves_as_well(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", VECTORS, labels=LABELS, groups=GROUPS) as store:
        triage(store, {IDS[0]: Verdict("dirt")})
        assert set(store.ids) - set(store.summarize("class-mean").seen) == {IDS[0], IDS[7]}
        assert store.summarize("class-mean", split="aside").seen == [IDS[0]]
        triage(store, dict.fromkeys(IDS, Verdict("dirt")))
        with pytest.raises(SummaryError, match=r"No sample to summarise in .* has a label"):
            store.summarize("class-mean")


def test_rare_samples_of_the_summarised_side_are_prototypes_and_said_to_be(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", VECTORS, labels=LABELS, groups=GROUPS, splits=SPLITS) as store:
        triage(store, dict.fromkeys(IDS[:20], Verdict("rare")))
        summary = store.summarize("rare-samples", split="train", share=0.05, k=2)
    train = [one for one, split, label in zip(IDS, SPLITS, LABELS, strict=True) if split == "train" and label]
    said = [one for one in train if one in IDS[:20]]
    kept = [summary.seen[at] for at in summary.source if at >= 0]
    assert sorted(kept) == said
    shares = [math.ceil(0.05 * [LABELS[IDS.index(one)] for one in train].count(label)) for label in ("few", "many")]
    each = [sum(LABELS[IDS.index(one)] == label for one in said) for label in ("few", "many")]
    beyond = sum(max(0, own - share) for own, share in zip(each, shares, strict=True))
    assert summary.remarks[0] == (
        f"{len(said)} pictures are kept because a person called them rare, {beyond} of them beyond the share that was asked for."
    )


# rare-samples


@pytest.mark.parametrize("near", [None, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_said_comes_first_and_the_rest_is_chosen_as_if_it_were_a_prototype(
    seed: int, near: float | None
) -> None:
    random = np.random.default_rng(seed)
    samples = unit_vectors(seed, 30, 4).astype(np.float32)
    groups = [str(one) for one in random.integers(0, 12, 30)]
    said = np.sort(random.choice(30, 4, replace=False))
    away = distances_to(samples, unit_vectors(9, 2, 4).astype(np.float32))
    rest = np.setdiff1d(np.arange(30), said)
    nearer = np.minimum(
        away, np.linalg.norm(unit_length(samples)[:, None] - unit_length(samples[said]), axis=2).min(axis=1)
    )
    expected = rarest(samples[rest], [groups[at] for at in rest], nearer[rest], near, 6)
    found = rarest(samples, groups, away, near, 10, said=said)
    assert found.tolist() == [*said.tolist(), *rest[expected].tolist()]


def kept(prototypes: Prototypes, label: str) -> list[int]:
    return [int(at) for at, of in zip(prototypes.source, prototypes.labels, strict=True) if of == label and at >= 0]


@pytest.mark.parametrize(
    ("said", "remark"),
    [
        ([1], "1 picture is kept because a person called it rare."),
        ([1, 2, 3], "3 pictures are kept because a person called them rare."),
        (
            [1, 2, 3, 4, 6, 8, 9, 11, 12, 13, 14, 16, 17],
            "13 pictures are kept because a person called them rare, 5 of them beyond the share that was asked for.",
        ),
    ],
)
def test_what_is_said_is_kept_within_the_share_or_beyond_it(said: list[int], remark: str) -> None:
    training = training_of(VECTORS, TRAINING, groups=GROUPS)
    found = rare_samples.fit(replace(training, rare=np.array(said)), 0, share=0.1, k=3)
    many = TRAINING.count("many")
    assert math.ceil(0.1 * many) == 8
    assert set(said) <= set(kept(found, "many"))
    assert len(kept(found, "many")) == max(8, len(said))
    assert found.remarks == (remark,)
    without = rare_samples.fit(training, 0, share=0.1, k=3)
    assert without.remarks == ()
    assert kept(found, "few") == kept(without, "few")
    assert len(kept(without, "many")) == 8
    assert not set(said) <= set(kept(without, "many"))


@pytest.mark.parametrize("strategy", ["rare-samples", "compressed-own"])
def test_neither_order_nor_blocks_change_what_follows_from_it(strategy: str) -> None:
    said, options = [3, 8, 40], {"share": 0.02}
    order = np.random.default_rng(0).permutation(COUNT)
    one = replace(training_of(VECTORS, TRAINING, groups=GROUPS), rare=np.array(said))
    other = replace(
        training_of(VECTORS, TRAINING, groups=GROUPS, order=order, block=7), rare=np.flatnonzero(np.isin(order, said))
    )
    found, shuffled = STRATEGIES[strategy](one, 3, **options), STRATEGIES[strategy](other, 3, **options)
    assert found.vectors.tobytes() == shuffled.vectors.tobytes()
    assert found.remarks == shuffled.remarks
    assert [one.ids[at] for at in found.source if at >= 0] == [other.ids[at] for at in shuffled.source if at >= 0]
    assert [set(np.array(one.ids)[codes.of]) for codes in found.codes] == [
        set(np.array(other.ids)[codes.of]) for codes in shuffled.codes
    ]


# compressed-own


def off_plane() -> npt.NDArray[np.float16]:
    """Return vectors of which the first 12 lie off the plane in which nearly all vary, so that short codes say little of them."""
    random = np.random.default_rng(0)
    plain = random.normal(size=(300, DIM)) * np.array([1, 1, 0.7, 0.5, *[0.02] * 8])
    plain[:12] = random.normal(size=(12, DIM)) * np.array([*[0.02] * 8, 1, 1, 1, 1])
    return unit_length(plain + 0.3).astype(np.float16)


def test_who_is_called_rare_gets_the_longer_code_beyond_the_share() -> None:
    labels, options = ["good"] * 300, {"bytes": 1, "rare_bytes": 12, "share": 1 / 300}
    training = training_of(off_plane(), labels)
    without = STRATEGIES["compressed-own"](training, 0, **options)
    (worst,) = without.codes[1].of.tolist()
    said = [at for at in range(12) if at != worst][:5]
    found = STRATEGIES["compressed-own"](replace(training, rare=np.array(said)), 0, **options)
    assert found.codes[1].of.tolist() == sorted([worst, *said])
    assert re.match(
        r"6 of 300 pictures, which these describe worst or that a person called rare \(5\), have 12;", found.remarks[1]
    )
    assert "called rare" not in " ".join(without.remarks)
    short = {at: code.tobytes() for at, code in zip(without.codes[0].of, without.codes[0].codes, strict=True)}
    assert all(short[at] == code.tobytes() for at, code in zip(found.codes[0].of, found.codes[0].codes, strict=True))
    assert found.distances is not None
    assert without.distances is not None
    assert (found.distances[said] < without.distances[said]).all()


def test_who_is_called_rare_keeps_the_short_code_where_the_longer_says_no_more() -> None:
    axes = np.eye(8)
    usual = np.tile(
        np.concatenate([axes[:4], -axes[:4]]), (7, 1)
    )  # on the first four axes, as many as a byte describes
    vectors = np.concatenate([axes[4:6], -axes[4:6], usual]).astype(np.float16)
    training, options = training_of(vectors, ["x"] * 60), {"bytes": 1, "rare_bytes": 3, "share": 4 / 60}
    found = STRATEGIES["compressed-own"](replace(training, rare=np.array([20, 30])), 0, **options)
    assert [codes.of.tolist() for codes in found.codes] == [list(range(4, 60)), [0, 1, 2, 3]]
    assert found.remarks[1] == (
        "4 of 60 pictures, those that gain of the 6 described worst or that a person called rare (2), have 3; their mean "
        "cosine to what is kept rises from 0.000 to 1.000."
    )
    assert found.distances is not None
    assert found.distances.tolist() == [0] * 60
