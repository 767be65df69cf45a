"""What retrieval catches once some parts are in the gallery, at a threshold that the validation side sets again each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.evaluation.metrics import mean_recall, rejected_share, threshold_at_overkill
from distill.evaluation.report import Held
from distill.terminal.retrieval import defect_scores
from new_defect_parts.cases import ADDED, NEW, Case, Positions
from new_defect_parts.spaces import Space

Scores = npt.NDArray[np.float64]

OVERKILL = 0.05
DRAWS = 30
NEAREST = 1  # parts of each kind that are heard: one, so that one added part is; fixed before anything was measured
MORE = 10  # told beside it, of the new kind alone; nothing is chosen by it


@dataclass(frozen=True)
class Scored:
    """What is said of a case's pictures, higher for defects.

    Attributes:
        val_good: of the good pictures that set the threshold.
        test_good: of the tested ones.
        test_known: of tested defects of kinds that training knows.
        new: of all pictures of the new kind; those of added parts are passed over.
    """

    val_good: Scores
    test_good: Scores
    test_known: Scores
    new: Scores

    def rejects(self, overkill: float = OVERKILL) -> tuple[npt.NDArray[np.bool_], ...]:
        """Return which are rejected at the threshold that the validation side sets: test_good, test_known, new."""
        threshold = threshold_at_overkill(self.val_good, overkill)
        return self.test_good > threshold, self.test_known > threshold, self.new > threshold


@dataclass(frozen=True)
class Reached:
    """What was reached with some parts added.

    Attributes:
        recall: of the new kind, on its parts that were not added.
        before: of the same pictures with nothing added.
        by_head: of the same pictures by the student's head, which knows nothing of what was added.
        mean_recall: as `recall`, averaged over thresholds for 2 to 10 % overkill.
        known: recall of the kinds that training knows.
        overkill: share of good test pictures that are rejected.
        either: as `recall`, rejected by the head or by retrieval, each at half the overkill.
        either_known: as `known`, so rejected.
        either_overkill: as `overkill`, so rejected.
        parts: of the new kind, tested.
        pictures: of them.
    """

    recall: float
    before: float
    by_head: float
    mean_recall: float
    known: float
    overkill: float
    either: float
    either_known: float
    either_overkill: float
    parts: int
    pictures: int


def scored(case: Case, space: Space, added: Positions, nearest: int = NEAREST) -> Scored:
    """Score a case's pictures against its training pictures and what is added; a picture's own part is left out.

    Args:
        case: which pictures.
        space: where they are compared.
        added: positions of what stands in the gallery beside the training pictures.
        nearest: parts of each kind that are heard.
    """
    asked, gallery = case.asked, np.concatenate([case.train, added])
    scores = defect_scores(
        *space.compared(asked, gallery),
        case.defect[gallery],
        k=nearest,
        groups=case.parts[gallery],
        query_groups=case.parts[asked],
    )
    return Scored(*case.divided(scores))


def scored_by_head(case: Case, held: Sequence[Held], ids: Sequence[str], defect: int) -> Scored:
    """Return what a student's own head says.

    Args:
        case: which pictures.
        held: what the run says of all that it did not train on.
        ids: of the store, in its order.
        defect: the number of the class of defects.
    """
    of_id = {one.id: one.probabilities[defect] for one in held}
    return Scored(*case.divided(np.array([of_id[ids[at]] for at in case.asked], np.float64)))


def reached(case: Case, head: Scored, before: Scored, after: Scored, added: Positions) -> Reached:
    """Return what was reached by the scores after something was added."""
    tested = np.isin(case.new, case.tested(added))
    good, known, new = after.rejects()
    halves = zip(after.rejects(OVERKILL / 2), head.rejects(OVERKILL / 2), strict=True)
    good_either, known_either, new_either = (ours | theirs for ours, theirs in halves)
    return Reached(
        recall=_share(new[tested]),
        before=_share(before.rejects()[2][tested]),
        by_head=_share(head.rejects()[2][tested]),
        mean_recall=mean_recall(after.val_good, after.new[tested]),
        known=_share(known),
        overkill=_share(good),
        either=_share(new_either[tested]),
        either_known=_share(known_either),
        either_overkill=_share(good_either),
        parts=len(np.unique(case.parts[case.new[tested]])),
        pictures=int(tested.sum()),
    )


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return rejected_share(flags.astype(np.float64), 0.5)


def curves(
    case: Case, space: Space, head: Scored, *, draws: int = DRAWS, nearest: int = NEAREST, kinds: Sequence[str] = ADDED
) -> Iterator[dict[str, Any]]:
    """Yield a line for each count, kind of parts and draw: {"added", "count", "draw"} and what was reached.

    Of nothing added there is one line, since nothing is drawn.
    """
    nothing = case.new[:0]
    before = scored(case, space, nothing, nearest)
    yield {"added": NEW, "count": 0, "draw": 0, **asdict(reached(case, head, before, before, nothing))}
    for count in case.counts[1:]:
        for kind in kinds:
            for draw in range(draws):
                added = case.drawn(kind, count, draw)
                after = scored(case, space, added, nearest)
                yield {"added": kind, "count": count, "draw": draw, **asdict(reached(case, head, before, after, added))}


def by_head(case: Case, head: Scored) -> Reached:
    """Return what the student's own head reaches."""
    return reached(case, head, head, head, case.new[:0])
