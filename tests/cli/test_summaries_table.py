"""The table of `embedstore summaries`: which kind it says is hidden."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from embedstore import Summary
from embedstore.summaries import ClassLoss
from embedstore_cli.summaries import _hidden


def loss(label: str, far_modes: dict[str, int], modes: dict[str, int]) -> ClassLoss:
    count, far = sum(modes.values()), sum(far_modes.values())
    return ClassLoss(label, count, 0.5, 0.7, 0.9, "worst.png", 0.6, far, far_modes, modes)


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([], "-"),
        ([loss("defect", {"blowhole": 4}, {"blowhole": 100, "crack": 50})], "-"),  # hardly hidden
        ([loss("good", {"good": 90}, {"good": 100})], "-"),  # the label itself, which its own column tells
        ([loss("defect", {"crack": 27, "fray": 24}, {"crack": 50, "fray": 32})], "fray (75%)"),
        # Under another label the same kind is kept well.
        ([loss("defect", {"crack": 9}, {"crack": 10}), loss("dent", {}, {"crack": 90})], "crack (90%)"),
        ([loss("a", {"y": 9}, {"y": 10}), loss("b", {"x": 9}, {"x": 10})], "x (90%)"),
    ],
)
def test_a_kind_is_named_only_where_the_summary_warns_of_it(losses: list[ClassLoss], told: str) -> None:
    summary: Any = SimpleNamespace(averaging_loss={one.label: one for one in losses})
    assert _hidden(cast("Summary", summary)) == told
    assert any(one.hidden_modes for one in losses) == (told != "-")
