"""Alignment losses against NumPy, and what each must not depend on."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distill.losses import BatchTargets, CosineLoss, DistillationLoss, make_loss
from distill.students import make_projection
from distill.training.settings import LOSSES
from embedstore.errors import SettingsError

Array = npt.NDArray[np.float64]
shapes = given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12), dim=st.integers(1, 20))


def unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def draw(seed: int, count: int, dim: int) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Return predictions of any length, targets of unit length, and labels of which -1 is none."""
    random = np.random.default_rng(seed)
    predicted = random.standard_normal((count, dim)) * random.uniform(0.1, 10)
    return predicted, unit(random.standard_normal((count, dim))), random.integers(-1, 3, count)


def tensor(array: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(array)


def loss(
    name: str, predicted: Array, targets: Array, labels: npt.NDArray[np.int64], temperature: float = 0.07
) -> float:
    batch = BatchTargets(tensor(targets), tensor(labels))
    return float(make_loss(name, temperature)(tensor(predicted), batch))


def picking(logits: Array, right: int) -> float:
    """Return the cross-entropy of picking the right one."""
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum()) - logits[right])


# Against NumPy


@shapes
def test_cosine(seed: int, count: int, dim: int) -> None:
    predicted, targets, labels = draw(seed, count, dim)
    expected = (1 - (unit(predicted) * targets).sum(axis=1)).mean()
    found = loss("cosine", predicted, targets, labels)
    assert found == pytest.approx(expected, abs=1e-9)
    assert -1e-9 <= found <= 2 + 1e-9


@shapes
def test_mse(seed: int, count: int, dim: int) -> None:
    predicted, targets, labels = draw(seed, count, dim)
    expected = ((predicted - targets) ** 2).mean() * dim
    assert loss("mse", predicted, targets, labels) == pytest.approx(expected, rel=1e-9)


@shapes
def test_l1(seed: int, count: int, dim: int) -> None:
    predicted, targets, labels = draw(seed, count, dim)
    expected = np.abs(predicted - targets).mean() * math.sqrt(dim)
    assert loss("l1", predicted, targets, labels) == pytest.approx(expected, rel=1e-9)


@shapes
def test_contrastive_over_the_targets_of_the_batch(seed: int, count: int, dim: int) -> None:
    predicted, targets, labels = draw(seed, count, dim)
    each = []
    for row in range(count):
        answers = [o for o in range(count) if o == row or labels[o] != labels[row] or labels[row] == -1]
        each.append(picking(unit(predicted)[row] @ targets[answers].T / 0.07, answers.index(row)))
    assert loss("contrastive", predicted, targets, labels) == pytest.approx(np.mean(each), rel=1e-6, abs=1e-9)


@shapes
def test_contrastive_over_prototypes_is_cross_entropy(seed: int, count: int, dim: int) -> None:
    predicted, _, labels = draw(seed, count, dim)
    random = np.random.default_rng(seed)
    prototypes, chosen = unit(random.standard_normal((4, dim))), random.integers(0, 4, count)
    batch = BatchTargets(tensor(prototypes[chosen]), tensor(labels), tensor(prototypes), tensor(chosen))
    found = float(make_loss("contrastive", 0.2)(tensor(predicted), batch))
    each = [picking(unit(predicted)[row] @ prototypes.T / 0.2, chosen[row]) for row in range(count)]
    assert found == pytest.approx(np.mean(each), rel=1e-6, abs=1e-9)


# By hand


def test_values_by_hand() -> None:
    targets, labels = np.array([[1.0, 0], [0, 1]]), np.array([0, 1])
    nothing, right, opposite = np.zeros((2, 2)), 3 * targets, -targets
    assert loss("cosine", right, targets, labels) == pytest.approx(0)
    assert loss("cosine", opposite, targets, labels) == pytest.approx(2)
    assert loss("cosine", targets[::-1].copy(), targets, labels) == pytest.approx(1)
    assert loss("mse", nothing, targets, labels) == pytest.approx(1)
    assert loss("mse", right, targets, labels) == pytest.approx(4)
    assert loss("l1", nothing, targets, labels) == pytest.approx(1 / math.sqrt(2))
    assert loss("contrastive", right, targets, labels, 1) == pytest.approx(math.log(1 + math.exp(-1)))
    assert loss("contrastive", opposite, targets, labels, 1) == pytest.approx(math.log(1 + math.exp(1)))


@pytest.mark.parametrize("name", LOSSES)
def test_an_unrelated_prediction_costs_about_one(name: str) -> None:
    random = np.random.default_rng(0)
    targets = unit(random.standard_normal((64, 512)))
    predicted = random.standard_normal((64, 512)) * 0.02  # a fresh projection's output is short
    temperature = 1.0  # the contrastive loss is log(batch) at any temperature where all is equally unlike
    found = loss(name, predicted, targets, np.arange(64), temperature)
    assert found == pytest.approx(math.log(64) if name.startswith("contrastive") else 1, rel=0.3)


def test_a_sample_alone_has_nothing_to_be_told_from() -> None:
    assert loss("contrastive", np.array([[0.0, 1]]), np.array([[1.0, 0]]), np.array([0])) == 0


# What they must not depend on


def gradient(predicted: Array, targets: Array, labels: npt.NDArray[np.int64]) -> Tensor:
    """Return the gradient of the sum over samples by the predictions, of the contrastive loss."""
    guess = tensor(predicted).requires_grad_()
    (make_loss("contrastive", 0.07)(guess, BatchTargets(tensor(targets), tensor(labels))) * len(labels)).backward()
    assert guess.grad is not None
    return guess.grad


def test_a_sample_of_the_same_label_is_no_wrong_answer() -> None:
    predicted, targets, _ = draw(1, 4, 8)
    labels = np.array([0, 1, 1, 0])
    before = gradient(predicted, targets, labels)[0]
    targets[3] = targets[0]  # a twin
    torch.testing.assert_close(gradient(predicted, targets, labels)[0], before)
    torch.testing.assert_close(gradient(predicted[:3], targets[:3], labels[:3])[0], before)  # and without it at all
    labels[3] = 1
    assert not torch.allclose(gradient(predicted, targets, labels)[0], before)


def test_a_batch_of_one_label_teaches_nothing() -> None:
    predicted, targets, _ = draw(2, 5, 8)
    assert loss("contrastive", predicted, targets, np.full(5, 2)) == 0


def test_samples_without_a_label_are_wrong_answers_for_each_other() -> None:
    predicted, targets, _ = draw(3, 5, 8)
    unlabelled = loss("contrastive", predicted, targets, np.full(5, -1))
    assert unlabelled == pytest.approx(loss("contrastive", predicted, targets, np.arange(5)))
    assert unlabelled > 0.1


def test_temperature_divides_the_similarities() -> None:
    predicted, targets, labels = draw(4, 6, 8)
    cold, warm = (loss("contrastive", predicted, targets, labels, temperature) for temperature in (0.05, 0.5))
    assert cold != pytest.approx(warm, rel=0.1)
    same = loss(
        "contrastive", predicted, 10 * targets, labels, 0.5
    )  # ten times the similarity, ten times the temperature
    assert same == pytest.approx(cold)
    for name in ("cosine", "mse", "l1"):
        assert loss(name, predicted, targets, labels, 0.05) == loss(name, predicted, targets, labels, 0.5)


@pytest.mark.parametrize("name", ["cosine", "contrastive"])
def test_directions_count_and_lengths_do_not(name: str) -> None:
    predicted, targets, labels = draw(5, 6, 8)
    assert loss(name, 7 * predicted, targets, labels) == pytest.approx(loss(name, predicted, targets, labels))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_in_a_batch_does_not_count(name: str, seed: int) -> None:
    predicted, targets, labels = draw(seed, 7, 5)
    order = np.random.default_rng(seed).permutation(7)
    shuffled = loss(name, predicted[order], targets[order], labels[order])
    assert shuffled == pytest.approx(loss(name, predicted, targets, labels), rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_right_and_flows_to_the_prediction_only(name: str) -> None:
    predicted, targets, labels = draw(6, 5, 4)
    module, batch = make_loss(name, 0.5), BatchTargets(tensor(targets), tensor(labels))
    guess = tensor(predicted).requires_grad_()
    assert torch.autograd.gradcheck(lambda guess: module(guess, batch), [guess])
    module(guess, batch).backward()
    assert guess.grad is not None
    assert guess.grad.abs().max() > 1e-3
    assert list(module.parameters()) == []
    assert not batch.vectors.requires_grad
    np.testing.assert_array_equal(batch.vectors.numpy(), targets)


# CLIP-Teacher-KD's contrast


def test_contrastive_all_takes_all_others_of_the_batch_for_wrong() -> None:
    predicted, targets, _ = draw(6, 5, 8)
    labels = np.array([0, 0, 0, 1, -1])
    logits = unit(predicted) @ targets.T / 0.3
    expected = np.mean([picking(logits[at], at) for at in range(5)])
    assert loss("contrastive-all", predicted, targets, labels, 0.3) == pytest.approx(expected)
    assert loss("contrastive", predicted, targets, labels, 0.3) < expected
    assert loss("contrastive", predicted, targets, np.arange(5), 0.3) == pytest.approx(expected)


# DistillationLoss


def batch_of(seed: int, count: int = 6, features: int = 5, dim: int = 4, classes: int = 3) -> dict[str, Tensor]:
    random = np.random.default_rng(seed)
    return {
        "features": tensor(random.standard_normal((count, features)).astype(np.float32)),
        "logits": tensor(random.standard_normal((count, classes)).astype(np.float32)),
        "labels": tensor(random.integers(0, classes, count)),
        "targets": tensor(unit(random.standard_normal((count, dim))).astype(np.float32)),
    }


def test_total_is_cross_entropy_and_lambda_times_alignment() -> None:
    batch, module = batch_of(0), DistillationLoss(5, 4, weight=2.5, seed=1)
    found = module(**batch)
    cross_entropy = torch.nn.functional.cross_entropy(batch["logits"], batch["labels"])
    mapped = make_projection(5, 4, 1)(batch["features"])
    alignment = CosineLoss()(mapped, BatchTargets(batch["targets"], batch["labels"]))
    torch.testing.assert_close(found.cross_entropy, cross_entropy)
    torch.testing.assert_close(found.alignment, alignment)
    torch.testing.assert_close(found.total, cross_entropy + 2.5 * alignment)
    assert (found.labelled, found.aligned) == (6, 6)


def test_samples_without_a_label_or_a_target_take_no_part_in_that_loss() -> None:
    batch, module = batch_of(1), DistillationLoss(5, 4)
    batch["labels"][[0, 3]] = -1
    batch["targets"][[1, 3]] = 0
    found = module(**batch)
    speaks, aims = torch.tensor([1, 2, 4, 5]), torch.tensor([0, 2, 4, 5])
    alone = module(**{name: part[speaks] for name, part in batch.items()})
    torch.testing.assert_close(found.cross_entropy, alone.cross_entropy)
    torch.testing.assert_close(found.alignment, module(**{name: part[aims] for name, part in batch.items()}).alignment)
    assert (found.labelled, found.aligned) == (4, 4)
    marked = module(**batch, labelled=torch.tensor([True, True, False, False, False, False]))
    assert marked.labelled == 1


def test_a_batch_without_labels_or_targets_costs_nothing() -> None:
    batch, module = batch_of(2), DistillationLoss(5, 4)
    batch["labels"][:] = -1
    assert module(**(batch | {"targets": None})).total == 0
    batch["targets"][:] = 0
    found = module(**batch)
    assert (found.total, found.labelled, found.aligned) == (0, 0, 0)
    head = torch.nn.Linear(5, 3)
    for targets in (batch["targets"], None):  # a loop that knows nothing of such batches may go on
        module(batch["features"], head(batch["features"]), batch["labels"], targets).total.backward()
        assert head.weight.grad is None


def test_logit_adjustment_adds_the_logarithm_of_the_share() -> None:
    batch, shares = batch_of(3), torch.tensor([0.7, 0.2, 0.1])
    found = DistillationLoss(5, 4, class_shares=shares, adjustment=1.5)(**batch).cross_entropy
    expected = torch.nn.functional.cross_entropy(batch["logits"] + 1.5 * shares.log(), batch["labels"])
    torch.testing.assert_close(found, expected)
    never = DistillationLoss(5, 4, class_shares=torch.tensor([1.0, 0, 0]), adjustment=1)(**batch).total
    assert torch.isfinite(never)
    with pytest.raises(SettingsError, match="needs the share of each class"):
        DistillationLoss(5, 4, adjustment=1)


def test_on_the_teachers_side_targets_are_mapped_and_both_have_unit_length() -> None:
    batch, module = batch_of(4), DistillationLoss(5, 4, alignment="mse", projection="teacher", seed=2)
    mapped = make_projection(4, 5, 2)(batch["targets"])
    directions = [torch.nn.functional.normalize(part, dim=1) for part in (batch["features"], mapped)]
    expected = (directions[0] - directions[1]).square().sum(dim=1).mean()
    torch.testing.assert_close(module(**batch).alignment, expected)
    with pytest.raises(SettingsError, match="'both' is unknown; use one of student, teacher"):
        DistillationLoss(5, 4, projection="both")


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_contrast_with_prototypes_as_published_and_corrected(side: str) -> None:
    batch = batch_of(5)
    prototypes = tensor(unit(np.random.default_rng(0).standard_normal((3, 4))).astype(np.float32))
    chosen = torch.tensor([2, 0, 1, 1, 0, 2])
    batch["targets"] = prototypes[chosen]
    module = DistillationLoss(
        5, 4, alignment="contrastive", temperature=0.5, projection=side, prototypes=prototypes, seed=3
    )
    normalize = torch.nn.functional.normalize
    if side == "student":
        logits = normalize(make_projection(5, 4, 3)(batch["features"])) @ prototypes.T / 0.5
    else:
        logits = normalize(batch["features"]) @ normalize(make_projection(4, 5, 3)(prototypes)).T / 0.5
    expected = torch.nn.functional.cross_entropy(logits, chosen)
    torch.testing.assert_close(module(**batch).alignment, expected)  # which of them a target is, it finds out
    torch.testing.assert_close(module(**batch, chosen=chosen).alignment, expected)
    assert not {"prototypes", "offsets"} & module.state_dict().keys()


def test_an_unknown_alignment_is_refused() -> None:
    with pytest.raises(SettingsError, match="'cosines' is unknown; use one of cosine, mse, l1, contrastive"):
        DistillationLoss(5, 4, alignment="cosines")


def test_a_sample_that_stands_in_a_batch_twice_is_no_wrong_answer_for_itself() -> None:
    predicted, targets, _ = draw(7, 4, 8)
    twice = [0, 1, 2, 3, 3]
    labels = np.array([0, 1, 2, 0, 0])
    logits = unit(predicted[twice]) @ targets[twice].T / 0.3
    logits[[3, 4], [4, 3]] = -np.inf
    expected = np.mean([picking(logits[at], at) for at in range(5)])
    assert loss("contrastive-all", predicted[twice], targets[twice], labels, 0.3) == pytest.approx(expected)


def test_a_map_that_makes_all_targets_one_makes_none_of_them_right() -> None:
    batch, module = batch_of(8), DistillationLoss(5, 4, alignment="contrastive-all", projection="teacher")
    torch.nn.init.zeros_(module.projection.weight)
    assert module(**batch).alignment.item() == pytest.approx(math.log(6), rel=1e-4)
