"""Patches: numbers as worked out one by one, and nothing of a picture's own part."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.answers import patches as module
from distill.answers.patches import SIZES, Patches, PatchMaps, beside
from distill.answers.places import DRAWN, HARD, TOP, folds_of, learn_places, said_apart
from distill.evaluation.metrics import roc_area
from embedstore.errors import TrainingError

COUNT, PLACES, CHANNELS = 60, 9, 4
Numbers = npt.NDArray[np.float64]
PARTS = np.arange(COUNT) // 3
DEFECT = PARTS % 4 == 0


def random_patches(seed: int = 5) -> torch.Tensor:
    """Return patches whose channels would drown each other; defective pictures have one odd place."""
    random = np.random.default_rng(seed)
    made = random.normal(size=(COUNT, PLACES, CHANNELS))
    made[DEFECT, 3, 1] += 4
    return torch.from_numpy((made * (1, 10, 100, 0.1)).astype(np.float32))


class NoMaps(PatchMaps):
    """Stands where patches are given, and none are made."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.channels = CHANNELS


def learned(seen: torch.Tensor, seed: int = 0) -> Patches:
    return Patches.of(NoMaps(), [seen] * len(SIZES), DEFECT, PARTS, seed)


def test_distances_are_those_worked_out_one_by_one() -> None:
    some = random_patches()
    good = np.flatnonzero(~DEFECT)
    every = some[good].reshape(-1, CHANNELS).double().numpy()
    scaled = (some.double().numpy() - every.mean(axis=0)) / every.std(axis=0)
    kept = scaled[good].reshape(-1, CHANNELS)
    of_kept = np.repeat(PARTS[good], PLACES)
    found = module._distances_apart(
        torch.from_numpy(scaled).float(), torch.from_numpy(kept).float(), PARTS, of_kept
    ).numpy()
    for at in range(COUNT):
        others = kept[of_kept != PARTS[at]]
        expected = [min(np.linalg.norm(one - others, axis=1)) for one in scaled[at]]
        np.testing.assert_allclose(found[at], expected, rtol=1e-3, atol=1e-3)
    asked = learned(some)
    centre, scale, own = (asked.get_buffer(f"{name}_0") for name in ("centre", "scale", "kept"))
    np.testing.assert_allclose(centre.numpy(), every.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scale.numpy(), 1 / every.std(axis=0), rtol=1e-5)
    assert len(own) == len(kept)  # all, since they are few
    nearest = module._nearest((some[:3] - centre) * scale, own.float()).numpy()
    for at in range(3):
        expected = [min(np.linalg.norm(one - own.double().numpy(), axis=1)) for one in scaled[at]]
        np.testing.assert_allclose(nearest[at], expected, rtol=1e-2, atol=1e-2)


def test_a_training_picture_is_not_looked_up_among_its_own_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """All three pictures of a part are the same one: only the patches of other parts are at a distance."""
    some = random_patches()[np.arange(COUNT) // 3 * 3]
    seen: list[Numbers] = []
    regression = module._regression

    def noted(statistics: Numbers, defect: npt.NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(statistics)
        return regression(statistics, defect)

    monkeypatch.setattr(module, "_regression", noted)
    learned(some)
    assert seen[0][:, 0].min() > 0.1


@pytest.mark.parametrize("value", [0.0, 0.3, 1000.0])
def test_a_channel_that_never_varies_says_nothing(value: float) -> None:
    some, new = random_patches(), random_patches(6)
    expected = learned(some).log_odds([new] * len(SIZES))
    constant = torch.full((COUNT, PLACES, 1), value)
    asked = Patches.of(NoMaps(), [torch.cat([some, constant], dim=2)] * len(SIZES), DEFECT, PARTS, 0)
    found = asked.log_odds([torch.cat([new, constant + 1], dim=2)] * len(SIZES))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_patches_that_are_no_numbers_are_refused() -> None:
    some = random_patches()
    some[3, 2, 1] = torch.nan
    with pytest.raises(TrainingError, match="The patches are no numbers, so the weights of their teacher are none"):
        learned(some)


def test_good_pictures_of_one_part_alone_are_too_few() -> None:
    parts, defect = np.array([0] * 40 + [1, 2, 3]), np.array([False] * 41 + [True] * 2)
    with pytest.raises(TrainingError, match="40 of 41 good training pictures show one part"):
        module.refuse_too_few(parts, defect)
    module.refuse_too_few(np.array([0] * 18 + [1, 1, 2, 3]), np.array([False] * 20 + [True] * 2))


def test_statistics_are_the_largest_the_largest_few_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOP", 2)
    numbers = torch.tensor([[1.0, 5.0, 3.0], [2.0, 2.0, 2.0]])
    assert module._statistics(numbers).tolist() == [[5, 4, 3], [2, 2, 2]]
    assert module._statistics(numbers[:, :1]).tolist() == [[1, 1, 1], [2, 2, 2]]  # fewer places than are asked for


def test_only_so_many_are_kept_and_the_seed_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 40)
    kept = [learned(random_patches(), seed).get_buffer("kept_0") for seed in (0, 0, 1)]
    assert [one.shape for one in kept] == [(40, CHANNELS)] * 3
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])
    assert kept[0].dtype == torch.float16


def test_log_odds_tell_new_defects_and_come_from_the_weights() -> None:
    asked, new = learned(random_patches()), random_patches(6)
    said = asked.log_odds([new] * len(SIZES))
    assert said.dtype == torch.float64
    assert roc_area(DEFECT, said.numpy()) > 0.95
    statistics = []
    for at in range(len(SIZES)):
        scaled = (new - asked.get_buffer("centre_0")) * asked.get_buffer("scale_0")
        distances = torch.cdist(scaled, asked.get_buffer("kept_0").float()[None]).amin(dim=2)
        looks = scaled @ asked.get_buffer(f"place_{at}") + asked.get_buffer(f"offset_{at}")
        statistics += [
            torch.stack([n.max(dim=1).values, n.sort(dim=1).values[:, -5:].mean(dim=1), n.mean(dim=1)], dim=1)
            for n in (distances, looks)
        ]
    expected = torch.cat(statistics, dim=1).double() @ asked.weights + asked.bias
    np.testing.assert_allclose(said.numpy(), expected.numpy(), rtol=1e-3, atol=1e-3)


def bilinear(coarse: Numbers, side: int) -> Numbers:
    """Return a map (n, n) at so many places a side, each between the four that are nearest; past the rim the rim goes on."""
    at = ((np.arange(side) + 0.5) * len(coarse) / side - 0.5).clip(0, len(coarse) - 1)
    low = np.floor(at).astype(int).clip(0, max(0, len(coarse) - 2))
    between = np.zeros((side, len(coarse)))
    for row, (first, share) in enumerate(zip(low, at - low, strict=True)):
        between[row, first] += 1 - share
        if share:
            between[row, first + 1] += share
    return between @ coarse @ between.T


def test_where_is_the_mean_of_what_is_unusual_at_each_size() -> None:
    random = np.random.default_rng(4)
    sides = (1, 2, 5)
    seen = [torch.from_numpy(random.normal(size=(COUNT, side**2, CHANNELS)).astype(np.float32)) for side in sides]
    asked = Patches.of(NoMaps(), seen, DEFECT, PARTS, 0)
    new = [torch.from_numpy(random.normal(size=(3, side**2, CHANNELS)).astype(np.float32)) for side in sides]
    found = asked.where_of(asked.places(new))
    assert (found.shape, found.dtype) == ((3, 5, 5), torch.float32)

    usual, whole = asked.usual, asked.usual_mean
    assert usual is not None
    assert whole is not None
    good = np.flatnonzero(~DEFECT)
    maps_of_good, maps_of_new = np.zeros((len(good), 5, 5)), np.zeros((3, 5, 5))
    for at, side in enumerate(sides):
        names = ("kept", "centre", "scale", "place", "offset")
        kept, centre, scale, place, offset = (asked.get_buffer(f"{one}_{at}").double().numpy() for one in names)
        scaled = (seen[at] - asked.get_buffer(f"centre_{at}")) * asked.get_buffer(f"scale_{at}")
        drawn = np.random.default_rng(0).permutation(len(good) * side**2)[: len(kept)]
        part_of_kept = PARTS[good[drawn // side**2]]
        apart = module._distances_apart(scaled, asked.get_buffer(f"kept_{at}").float(), PARTS, part_of_kept)
        said = module.said_apart(scaled, apart, DEFECT, PARTS, 0)
        for half, (of_good, least) in enumerate(
            ((apart[good].double().numpy(), 0.0), (said[good].double().numpy(), 1.0))
        ):
            mean, spread = of_good.mean(), max(least, of_good.std())
            np.testing.assert_allclose(usual[at, half].numpy(), (mean, spread), rtol=1e-3, atol=1e-3)
            for picture in range(len(good)):
                maps_of_good[picture] += bilinear(((of_good[picture] - mean) / spread).reshape(side, side), 5) / 6
            own = (new[at].double().numpy() - centre) * scale
            for picture in range(3):
                away = np.linalg.norm(own[picture][:, None] - kept, axis=2).min(axis=1)
                numbers = (away, own[picture] @ place + offset)[half]
                maps_of_new[picture] += bilinear(((numbers - mean) / spread).reshape(side, side), 5) / 6
    np.testing.assert_allclose(whole.numpy(), (maps_of_good.mean(), maps_of_good.std()), rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(found.numpy(), (maps_of_new - maps_of_good.mean()) / maps_of_good.std(), atol=0.02)


def test_few_training_pictures_make_no_good_place_unusual() -> None:
    random = np.random.default_rng(7)
    count, channels = 28, 40  # many channels for so few pictures: what was learned of them is too well known
    defect, parts = np.arange(count) >= 20, np.arange(count)
    seen = torch.from_numpy(random.normal(size=(count, 25, channels)).astype(np.float32))
    asked = Patches.of(NoMaps(), [seen] * len(SIZES), defect, parts, 0)
    new = torch.from_numpy(random.normal(size=(50, 25, channels)).astype(np.float32))
    found = asked.where_of(asked.places([new] * len(SIZES)))
    assert abs(float(found.mean())) < 0.4
    assert 0.6 < float(found.std()) < 1.6


def test_patches_that_have_not_kept_what_is_usual_still_answer() -> None:
    asked = learned(random_patches())
    kept = {name: one for name, one in asked.state_dict().items() if not name.startswith("usual")}
    maps = NoMaps()
    older = Patches.fitting(kept, maps)
    assert older is not None
    assert older.usual is None
    new = [random_patches(6)] * len(SIZES)
    assert torch.equal(older.log_odds(new), asked.log_odds(new))
    assert older.state_dict().keys() == kept.keys()
    again = Patches.fitting(asked.state_dict(), maps)
    assert again is not None
    assert torch.equal(again.where_of(again.places(new)), asked.where_of(asked.places(new)))
    assert Patches.fitting({**kept, "usual": asked.state_dict()["usual"]}, maps) is None  # half of it is damage


def test_where_has_its_peak_in_the_odd_place() -> None:
    random = np.random.default_rng(3)
    made = random.normal(size=(2, COUNT, 9, CHANNELS)).astype(np.float32)
    made[:, DEFECT, 3, 1] += 4
    some, new = torch.from_numpy(made)
    asked = learned(some)
    found = asked.where_of(asked.places([new] * len(SIZES)))[DEFECT].flatten(1)
    assert (found.argmax(dim=1) == 3).float().mean() > 0.9
    assert found[:, 3].mean() > 3


def test_they_say_nothing_of_how_frequent_a_defect_is() -> None:
    """Each good picture three times over: log-odds as if both were as frequent stay nearly where they were."""
    some, new = random_patches(), random_patches(6)
    again = np.concatenate([np.arange(COUNT), *[np.flatnonzero(~DEFECT)] * 2])
    more = Patches.of(NoMaps(), [some[again]] * len(SIZES), DEFECT[again], PARTS[again], 0)
    before, after = (one.log_odds([new] * len(SIZES)).mean().item() for one in (learned(some), more))
    assert abs(after - before) < np.log(3) / 2


def test_places_that_look_like_a_defect_are_found_by_labels_of_pictures_alone() -> None:
    some = random_patches() / torch.tensor([1.0, 10.0, 100.0, 0.1])
    distances = some.norm(dim=2)
    weights, bias = learn_places(some, distances, DEFECT, 0)
    assert weights.argmax() == 1
    said = some @ weights + bias
    assert (said[DEFECT].argmax(dim=1) == 3).float().mean() > 0.9
    assert min(TOP, HARD, DRAWN) > 1


def test_what_is_said_of_a_picture_hangs_on_no_picture_of_its_part() -> None:
    some = random_patches()
    scaled, distances = some / some.std(dim=(0, 1)), random_patches(7)[:, :, 0]
    before = said_apart(scaled, distances, DEFECT, PARTS, 0)
    moved = scaled.clone()
    part = 8  # a defective one
    moved[part == PARTS] += 50
    after = said_apart(moved, distances, DEFECT, PARTS, 0)
    fold = folds_of(PARTS, DEFECT, 0)
    same_fold = (fold == fold[part == PARTS][0]) & (part != PARTS)
    assert torch.equal(before[same_fold], after[same_fold])  # they have the classifier that did not see it
    assert not torch.equal(before[fold != fold[part == PARTS][0]], after[fold != fold[part == PARTS][0]])


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_folds_keep_parts_together_and_leave_both_kinds_to_the_others(
    pictures: list[tuple[int, bool]], seed: int
) -> None:
    parts, defect = (np.array(one) for one in zip(*pictures, strict=True))
    if min(len(set(parts[defect])), len(set(parts[~defect]))) < 2:
        with pytest.raises(
            TrainingError, match="good pictures of at least two parts and defective ones of at least two"
        ):
            folds_of(parts, defect, seed)
        return
    fold = folds_of(parts, defect, seed)
    assert len({(part, one) for part, one in zip(parts, fold, strict=True)}) == len(set(parts))
    for held in set(fold):
        assert defect[fold != held].any()
        assert not defect[fold != held].all()


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(-30, 30),
)
@settings(max_examples=60, deadline=None)
def test_log_odds_are_added_and_defects_stay_as_likely_among_each_other(rows: list[list[float]], odds: float) -> None:
    said = torch.tensor(rows, dtype=torch.float64) + 1e-9
    said /= said.sum(dim=1, keepdim=True)
    found = beside(said, torch.full((len(rows),), odds, dtype=torch.float64), torch.tensor([1.0, 0.0, 1.0]).double())
    np.testing.assert_allclose(found.sum(dim=1), 1)
    for old, new in zip(said.tolist(), found.tolist(), strict=True):
        old_odds, new_odds = (np.log(one[0] + one[2]) - np.log(one[1]) for one in (old, new))
        both = old_odds + odds
        assert new_odds == pytest.approx(both, abs=1e-4) if abs(both) <= 15 else 15 < abs(new_odds) < 22.0001
        assert new[0] * old[2] == pytest.approx(new[2] * old[0], rel=1e-6, abs=1e-300)


def test_a_head_that_is_quite_sure_stays_so() -> None:
    said = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    found = beside(said, torch.tensor([-5.0, 5.0]).double(), torch.tensor([1.0, 0.0]).double())
    np.testing.assert_allclose(found, said, atol=1e-9)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=30, unique=True))
def test_log_odds_keep_their_order_where_they_are_bounded(found: list[float]) -> None:
    rounded = sorted({round(one, 3) for one in found})
    bounded = module._below_most(torch.tensor(rounded, dtype=torch.float64))
    assert (bounded.diff() > 0).all()
    assert bounded.abs().max() < 22
    plain = [at for at, one in enumerate(rounded) if abs(one) <= 15]
    assert bounded[plain].tolist() == [rounded[at] for at in plain]


@pytest.mark.parametrize("head", [0.5, 1e-9, 1e-300])
def test_a_threshold_stands_between_a_good_part_with_a_hair_and_gross_defects(head: float) -> None:
    """Their probabilities were all 1 to the last bit, so that the threshold of the one let all others pass."""
    said = torch.tensor([[1 - head, head]] * 3, dtype=torch.float64)
    found = beside(said, torch.tensor([40.0, 100.0, 1000.0]).double(), torch.tensor([1.0, 0.0]).double())
    scores = (1 - found[:, 1]).tolist()
    assert scores[0] < scores[1] < scores[2] < 1
