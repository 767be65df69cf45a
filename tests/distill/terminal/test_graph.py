"""What goes into the graph says what the rest of distill says: cutting and answers."""

import numpy as np
import pytest
import torch

from distill.answers import Distribution, Neighbours
from distill.terminal.answering import ByDistribution, ByNeighbours, answer_module
from distill.terminal.graph import Cutting
from distill.training.cutting import cut_views
from embedstore.views import WHOLE, Fit

SIDES = [(256, 300), (300, 256), (256, 700), (40, 60), (33, 32), (96, 96)]  # height, width


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_a_picture_is_cut_as_in_training(fit: Fit, height: int, width: int) -> None:
    picture = np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    expected = cut_views([picture.transpose(1, 0, 2)], [WHOLE], 96, fit)[0].float()
    cut = Cutting(96, fit)(torch.from_numpy(picture))[0]
    assert (cut - expected).abs().max() <= 1  # a sum that lies between two levels may be rounded either way
    assert (cut != expected).float().mean() < 1e-3


def memories() -> tuple[Neighbours, Distribution, torch.Tensor]:
    random = np.random.default_rng(0)
    features = torch.from_numpy(50 + random.normal(size=(60, 7)) * 10.0 ** (np.arange(7) / 2)).float()
    features[:, 3] = 2  # one that does not vary
    labels = random.permutation(np.arange(60) % 3)
    parts = [f"part {at}" for at in random.integers(0, 30, 60)]
    asked = torch.from_numpy(50 + random.normal(size=(9, 7)) * 10.0 ** (np.arange(7) / 2)).float()
    return Neighbours.of(features, labels, parts), Distribution.of(features, labels, parts), asked


def test_neighbours_answer_alike() -> None:
    neighbours, _, asked = memories()
    nothing = torch.zeros(9, 3)
    torch.testing.assert_close(
        ByNeighbours(neighbours)(asked, nothing), neighbours(asked, nothing), rtol=1e-6, atol=1e-9
    )


def test_a_distribution_answers_alike() -> None:
    _, distribution, asked = memories()
    nothing = torch.zeros(9, 3)
    expected = distribution(asked, nothing)
    torch.testing.assert_close(ByDistribution(distribution)(asked, nothing), expected, rtol=1e-6, atol=1e-9)


def test_both_is_the_mean_of_the_head_and_the_neighbours() -> None:
    neighbours, _, asked = memories()
    logits = torch.randn(9, 3, generator=torch.manual_seed(0))
    expected = (logits.double().softmax(dim=1) + neighbours(asked, logits)) / 2
    torch.testing.assert_close(answer_module("both", neighbours)(asked, logits), expected, rtol=1e-6, atol=1e-9)


def test_an_answer_that_has_no_module_is_refused() -> None:
    with pytest.raises(ValueError, match="'hearsay' has no module"):
        answer_module("hearsay", object())  # type: ignore[arg-type]
