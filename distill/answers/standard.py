"""Features on one scale: what a student computes spreads over orders of magnitude."""

import torch
from torch import Tensor

_DEAD = 1e-6  # of the widest spread: a feature that does not vary more than this in training says nothing


def standard(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centre (f,) of training pictures' features (n, f), and one over their spread; 0 for those that do not vary."""
    wide = features.double()
    centre, spread = wide.mean(dim=0), wide.std(dim=0, correction=0)
    scale = torch.where(spread > _DEAD * spread.max(), 1 / spread, 0)
    return centre.float(), scale.float()
