"""Features on one scale: what a student computes spreads over orders of magnitude."""

import torch
from torch import Tensor

_DEAD = 1e-6  # of the widest spread, and of the feature's own size: what varies less in training is noise of rounding


def standard(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centre (f,) of training pictures' features (n, f), and one over their spread; 0 for those that do not vary."""
    wide = features.double()
    centre, spread = wide.mean(dim=0), wide.std(dim=0, correction=0)
    varies = (spread > _DEAD * spread.max()) & (spread > _DEAD * centre.abs())
    return centre.float(), torch.where(varies, 1 / spread, 0).float()
