"""Batch statistics over all ranks: `torch.nn.SyncBatchNorm` needs a GPU, and takes the place of whatever layer it finds.

Here the layers stay as they are, with their names, and those too that do more than `torch.nn.BatchNorm2d`, as many of timm's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from distill.training.ranks import Ranks

_SIGNATURE = signature(functional.batch_norm)


def batch_norms_of(ranks: Ranks) -> AbstractContextManager[object]:
    """Let batch norms that train take the mean and variance over all ranks' samples, while inside; alone they do in any case."""
    return nullcontext() if ranks.size == 1 else _Synchronised(ranks)


class _Synchronised(TorchFunctionMode):
    def __init__(self, ranks: Ranks):
        super().__init__()
        self._ranks = ranks

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is functional.batch_norm:
            given = _SIGNATURE.bind(*arguments, **(options or {}))
            given.apply_defaults()
            named = given.arguments
            if named["training"]:
                running = None if named["running_mean"] is None else (named["running_mean"], named["running_var"])
                return _BatchNorm.apply(
                    named["input"],
                    named["weight"],
                    named["bias"],
                    running,
                    named["momentum"],
                    named["eps"],
                    self._ranks,
                )
        return function(*arguments, **(options or {}))


class _BatchNorm(torch.autograd.Function):
    """`torch.nn.functional.batch_norm` in training, of maps (m, c, ...) of which each rank has some.

    Its sums add in pairs, in float32: those of torch's batch norm for processors lose two digits more.
    """

    @staticmethod
    def forward(  # noqa: PLR0917
        held: Any,
        maps: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running: tuple[Tensor, Tensor] | None,
        momentum: float,
        eps: float,
        ranks: Ranks,
    ) -> Tensor:
        own, count = maps.float(), maps.numel() // maps.shape[1]
        mean = own.sum(_axes(own)) / max(count, 1)  # a rank may have none
        spread = (own - _wide(mean, own)).square_().sum(_axes(own))
        # A line a rank, of which each knows its own: the sum of these tables is the whole one.
        table = own.new_zeros(ranks.size, 2, len(mean) + 1)
        table[ranks.rank, 0, :-1], table[ranks.rank, 1, :-1], table[ranks.rank, :, -1] = mean, spread, count
        distributed.all_reduce(table)
        means, spreads, counts = table[:, 0, :-1], table[:, 1, :-1], table[:, :1, -1]
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        spread = (spreads + counts * (means - mean).square()).sum(0)
        if running is not None:
            running[0].lerp_(mean.to(running[0]), momentum)
            running[1].lerp_((spread / (total - 1)).to(running[1]), momentum)
        inverse = (spread / total + eps).rsqrt()
        scale = inverse if weight is None else inverse * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        held.save_for_backward(maps, mean, inverse, scale, total)
        return torch.addcmul(_wide(shift, own), own, _wide(scale, own)).to(maps.dtype)

    @staticmethod
    def backward(held: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        maps, mean, inverse, scale, total = held.saved_tensors
        own, gradient = maps.float(), gradients[0].float()
        standard = torch.addcmul(_wide(-mean * inverse, own), own, _wide(inverse, own))
        sums = torch.stack([gradient.sum(_axes(own)), (gradient * standard).sum(_axes(own))])
        shares = sums.clone()
        distributed.all_reduce(shares)
        shares /= total
        back = torch.addcmul(gradient, standard, _wide(-shares[1], own))
        back = torch.addcmul(_wide(-shares[0] * scale, own), back, _wide(scale, own)).to(maps.dtype)
        wanted = held.needs_input_grad
        return back, sums[1] if wanted[1] else None, sums[0] if wanted[2] else None, None, None, None, None


def _axes(maps: Tensor) -> list[int]:
    return [axis for axis in range(maps.ndim) if axis != 1]


def _wide(channels: Tensor, maps: Tensor) -> Tensor:
    """Return numbers of channels (c,) so that they go with maps (m, c, ...)."""
    return channels.view(1, -1, *[1] * (maps.ndim - 2))
