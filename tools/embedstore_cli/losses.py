"""What a lighter copy loses, in sentences; and the option that names good parts."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from embedstore.analysis.neighbour_loss import NeighbourLoss

GoodOption = Annotated[
    str | None,
    typer.Option(
        help="Label of good parts, to measure how well the nearest samples still tell defects from them.",
        show_default=False,
    ),
]


def loss_sentences(loss: "NeighbourLoss") -> list[str]:
    """Return what was measured, a sentence each."""
    asked = "held-out samples" if loss.held_out else "samples (the store holds none out)"
    overlap = "no sample has a neighbour" if loss.overlap is None else f"{loss.overlap:.1%} are the same"
    among = f"{loss.candidates_after}" + (
        f" (before: {loss.candidates})" if loss.candidates_after != loss.candidates else ""
    )
    told = [f"Of the 10 nearest neighbours of {loss.queries} {asked}, among {among} of other parts, {overlap}."]
    if loss.auroc is not None and loss.auroc_after is not None:
        told.append(
            f"AUROC of nearest defect minus nearest good part: {loss.auroc_after:.3f} (before: {loss.auroc:.3f}, "
            f"{loss.auroc_after - loss.auroc:+.3f})."
        )
    return told
