"""The plan of an epoch: every sample once, in the cuts that its targets belong to."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.training.batches import Batch, balanced_order, label_quotas, plan_epoch
from embedstore.views import WHOLE, Recipe, View, draw_view

BOTH = ("all", "whole")
plans = given(
    count=st.integers(2, 90),
    size=st.integers(2, 70),
    views=st.integers(0, 5),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 500),
    ce_views=st.sampled_from(BOTH),
)


def plan(
    count: int,
    *,
    views: int = 2,
    recipe: Recipe | None = None,
    ce_views: str = "all",
    size: int = 16,
    seed: int = 0,
    epoch: int = 0,
) -> list[Batch]:
    return plan_epoch(names(count), views, recipe or Recipe(), ce_views=ce_views, size=size, seed=seed, epoch=epoch)


def names(count: int) -> list[str]:
    return [f"部品 {number}.png" for number in range(count)]


def together(batches: list[Batch], field: str) -> npt.NDArray[np.int64]:
    return np.concatenate([getattr(batch, field) for batch in batches])


@plans
def test_every_sample_passes_once_in_batches_of_nearly_equal_size(
    count: int, size: int, views: int, seed: int, epoch: int, ce_views: str
) -> None:
    batches = plan(count, size=size, views=views, seed=seed, epoch=epoch, ce_views=ce_views)
    assert sorted(together(batches, "samples").tolist()) == list(range(count))
    sizes = [len(batch.samples) for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2  # batch statistics of one sample are none
    assert max(sizes) <= max(size, 3)
    assert len(batches) <= -(-count // size)
    for batch in batches:
        assert len(batch.views) == len(batch.cuts) == len(batch.labelled) == len(batch.aligned) == len(batch.samples)


@plans
def test_a_stored_cut_is_the_view_of_its_number(
    count: int, size: int, views: int, seed: int, epoch: int, ce_views: str
) -> None:
    recipe = Recipe(seed=seed % 1000)
    batches = plan(count, size=size, views=views, recipe=recipe, seed=seed, epoch=epoch, ce_views=ce_views)
    for batch in batches:
        for sample, view, cut, aligned in zip(batch.samples, batch.views, batch.cuts, batch.aligned, strict=True):
            assert 0 <= view <= views
            if aligned:
                assert cut == draw_view(recipe, names(count)[sample], int(view))


def test_all_every_pass_serves_both_losses() -> None:
    for batch in plan(50):
        assert batch.labelled.all()
        assert batch.aligned.all()


@plans
def test_whole_one_half_is_whole_pictures_and_the_other_stored_views(
    count: int, size: int, views: int, seed: int, epoch: int, ce_views: str
) -> None:
    batches = plan(count, size=size, views=views, seed=seed, epoch=epoch, ce_views="whole")
    assert together(batches, "labelled").sum() == count // 2
    for batch in batches:
        np.testing.assert_array_equal(batch.labelled, ~batch.aligned)
        assert abs(int(batch.labelled.sum()) - int(batch.aligned.sum())) <= 1
        for cut, labelled, view in zip(batch.cuts, batch.labelled, batch.views, strict=True):
            if labelled:
                assert view == 0
                assert cut == View(turns=cut.turns, mirrored=cut.mirrored)


def whole_cuts(recipe: Recipe) -> set[View]:
    batches = [batch for epoch in range(20) for batch in plan(40, ce_views="whole", recipe=recipe, epoch=epoch)]
    return {cut for batch in batches for cut, labelled in zip(batch.cuts, batch.labelled, strict=True) if labelled}


def test_whole_pictures_are_turned_and_mirrored_as_the_recipe_allows() -> None:
    turns, mirrors = range(4), (False, True)
    assert whole_cuts(Recipe()) == {View(turns=turn, mirrored=mirror) for turn in turns for mirror in mirrors}
    assert whole_cuts(Recipe(turns=False)) == {View(mirrored=mirror) for mirror in mirrors}
    assert whole_cuts(Recipe(flips=False)) == {View(turns=turn) for turn in turns}
    assert whole_cuts(Recipe(turns=False, flips=False)) == {WHOLE}


def test_whole_the_halves_are_drawn_anew_each_epoch() -> None:
    passes = np.zeros((40, 2), np.int64)
    for epoch in range(20):
        for batch in plan(40, ce_views="whole", epoch=epoch):
            passes[batch.samples, batch.labelled.astype(np.int64)] += 1
    assert passes.sum(axis=1).tolist() == [20] * 40
    assert passes.min() >= 2


@pytest.mark.parametrize("ce_views", BOTH)
def test_all_views_take_part_about_equally(ce_views: str) -> None:
    batches = [batch for epoch in range(30) for batch in plan(60, views=3, ce_views=ce_views, epoch=epoch)]
    views = together(batches, "views")[together(batches, "aligned").astype(bool)]
    share = np.bincount(views, minlength=4) / len(views)
    assert share == pytest.approx([0.25] * 4, abs=0.05)


@pytest.mark.parametrize("ce_views", BOTH)
def test_without_stored_views_the_plain_picture_is_the_only_one(ce_views: str) -> None:
    assert not together(plan(20, views=0, ce_views=ce_views), "views").any()


@pytest.mark.parametrize("ce_views", BOTH)
def test_a_plan_depends_on_seed_and_epoch_alone(ce_views: str) -> None:
    def orders(seed: int, epoch: int) -> list[list[int]]:
        return [
            [*batch.samples.tolist(), *batch.views.tolist(), *map(hash, batch.cuts)]
            for batch in plan(40, seed=seed, epoch=epoch, ce_views=ce_views)
        ]

    first = orders(3, 7)
    np.random.default_rng().random()
    assert orders(3, 7) == first
    assert orders(3, 8) != first
    assert orders(4, 7) != first
    assert orders(7, 3) != first


# Balance

LABELS = np.array([0] * 40 + [1] * 5 + [2] * 1 + [-1] * 4)


def passes(balance: float, seed: int = 0, epoch: int = 0) -> dict[int, int]:
    order = balanced_order(LABELS, balance, seed=seed, epoch=epoch)
    assert order is not None
    assert len(order) == len(LABELS)
    return {label: int((LABELS[order] == label).sum()) for label in (-1, 0, 1, 2)}


def test_without_balance_each_sample_passes_once() -> None:
    assert balanced_order(LABELS, 0, seed=0, epoch=0) is None
    assert balanced_order(np.array([1, 1, -1]), 1, seed=0, epoch=0) is None  # one label is balanced as it is


def test_balanced_labels_pass_equally_often_and_samples_without_one_once() -> None:
    assert passes(1) == {-1: 4, 0: 16, 1: 15, 2: 15}
    half = passes(0.5)
    assert half[-1] == 4
    assert half[0] / half[1] == pytest.approx(np.sqrt(8), rel=0.1)
    assert passes(1e-6) == {-1: 4, 0: 40, 1: 5, 2: 1}


def test_samples_of_a_label_pass_equally_often_or_once_more() -> None:
    order = balanced_order(LABELS, 1, seed=3, epoch=2)
    counts = np.bincount(order, minlength=len(LABELS))
    for label in (-1, 0, 1, 2):
        own = counts[label == LABELS]
        assert own.max() - own.min() <= 1


def test_a_balanced_order_is_another_each_epoch_and_the_same_each_time() -> None:
    first = balanced_order(LABELS, 1, seed=3, epoch=2)
    np.testing.assert_array_equal(first, balanced_order(LABELS, 1, seed=3, epoch=2))
    for seed, epoch in ((3, 3), (4, 2)):
        assert not np.array_equal(first, balanced_order(LABELS, 1, seed=seed, epoch=epoch))


@given(
    counts=st.lists(st.integers(1, 300), min_size=2, max_size=12),
    balance=st.floats(0, 1),
)
def test_quotas_add_up_and_leave_no_label_out(counts: list[int], balance: float) -> None:
    quotas = label_quotas(np.array(counts), balance)
    assert quotas.sum() == sum(counts)
    assert quotas.min() >= 1
    ordered = np.array(counts)[np.argsort(counts)]
    assert (
        np.diff(label_quotas(ordered, balance)) >= -1
    ).all()  # a larger label never passes more seldom, but for rounding


@pytest.mark.parametrize("ce_views", BOTH)
def test_a_plan_follows_the_order_and_each_pass_has_a_view_of_its_own(ce_views: str) -> None:
    order = balanced_order(LABELS, 1, seed=0, epoch=0)
    batches = plan_epoch(names(len(LABELS)), 50, Recipe(), ce_views=ce_views, size=16, seed=0, epoch=0, order=order)
    assert sorted(together(batches, "samples").tolist()) == sorted(order)
    if ce_views == "all":
        np.testing.assert_array_equal(together(batches, "samples"), order)
    aligned = together(batches, "aligned").astype(bool)
    alone = (together(batches, "samples") == 45) & aligned  # the one sample of its label
    assert len(set(together(batches, "views")[alone])) > 1
    for batch in batches:
        for sample, view, cut, one in zip(batch.samples, batch.views, batch.cuts, batch.aligned, strict=True):
            if one:
                assert cut == draw_view(Recipe(), names(len(LABELS))[sample], int(view))


@pytest.mark.parametrize("views", [0, 1, 2, 8])
def test_fresh_crops_are_new_at_each_pass_and_the_whole_picture_as_often_as_else(views: int) -> None:
    drawn = [
        together(
            plan_epoch(names(300), views, Recipe(), fresh=True, ce_views="all", size=32, seed=1, epoch=epoch), "views"
        )
        for epoch in range(10)
    ]
    numbers = np.concatenate(drawn)
    crops = numbers[numbers > 0]
    assert crops.min() > views  # none of the stored ones
    assert len(set(crops)) > 0.99 * len(crops)
    assert (numbers == 0).mean() == pytest.approx(1 / (max(views, 2) + 1), abs=0.03)
