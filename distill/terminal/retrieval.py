"""A picture's score from the pictures that are most alike: a new defect is known as soon as one picture of it is in the gallery.

NumPy only. Thresholds on such scores come from `distill.evaluation.metrics.threshold_at_overkill`, on the scores of good
pictures that are no members, or that leave their own part out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.errors import SettingsError
from embedstore.vectors import unit_length

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]

_BYTES = 1 << 26  # of the cosines held at once
_FARTHEST = -1.0  # as alike as a kind is that has no part to compare with: the lowest cosine there is


def defect_scores(
    queries: npt.ArrayLike,
    gallery: npt.ArrayLike,
    is_defect: npt.ArrayLike,
    *,
    k: int = 1,
    groups: npt.ArrayLike | None = None,
    query_groups: npt.ArrayLike | None = None,
) -> Scores:
    """Return how much more each query is like a defect than like a good part, (m,).

    A query is compared with parts, not with pictures: the most alike picture of a part speaks for it, so that a part that was
    photographed often is not heard more often. A part of the query's own group is left out, as when members of the gallery
    are scored themselves.

    A score is the mean cosine of the `k` most alike defects minus that of the `k` most alike good parts, -2 to 2.

    Args:
        queries: (m, d) vectors of any length; where a space has a centre, it is taken off before.
        gallery: (n, d) in the same space.
        is_defect: (n,) which of the gallery are defects.
        k: how many parts of each kind are heard; fewer where there are fewer.
        groups: (n,) the part that each of the gallery shows, as text or numbers; None: each shows its own.
        query_groups: (m,) the part that each query shows, or (m, c) its parts where copies of it are of several; None, and
            names that the gallery does not have: no part of it.

    Raises:
        SettingsError: `k` is out of range.
        ValueError: shapes do not fit together, or the gallery lacks defects or good parts.
    """
    if k < 1:
        raise SettingsError(f"The number of nearest parts is {k}; expected 1 or more.")
    asked, members, defect = unit_length(queries), unit_length(gallery), np.asarray(is_defect, bool)
    if asked.ndim != 2 or members.ndim != 2 or asked.shape[1] != members.shape[1] or defect.shape != members.shape[:1]:
        raise ValueError(f"queries {asked.shape}, gallery {members.shape} and kinds {defect.shape} do not fit together")
    if defect.all() or not defect.any():
        raise ValueError("a gallery needs defects and good parts")
    part, own = _numbered(groups, query_groups, len(members), len(asked))
    order = np.lexsort((part, defect))  # pictures of one part and kind beside each other, good ones first
    first = np.flatnonzero(np.r_[True, (np.diff(part[order]) != 0) | (np.diff(defect[order].astype(int)) != 0)])
    of_voice, defects = part[order][first], defect[order][first]
    members = members[order]
    scores = np.empty(len(asked), np.float64)
    rows = max(1, _BYTES // (4 * len(members)))
    for start in range(0, len(asked), rows):
        some = slice(start, start + rows)
        alike = np.maximum.reduceat(asked[some] @ members.T, first, axis=1).astype(np.float64)
        for column in own[some].T:
            alike[column[:, None] == of_voice] = -np.inf
        scores[some] = _highest_mean(alike[:, defects], k) - _highest_mean(alike[:, ~defects], k)
    return scores


def _numbered(
    groups: npt.ArrayLike | None, query_groups: npt.ArrayLike | None, members: int, asked: int
) -> tuple[Positions, Positions]:
    """Return a number for each member's part (n,), and for each query's (m, c); -1 where the gallery does not have it."""
    names = np.arange(members) if groups is None else np.asarray(groups)
    own = np.full(asked, -1) if query_groups is None else np.asarray(query_groups)
    own = own[:, None] if own.ndim == 1 else own
    if names.shape != (members,) or own.ndim != 2 or len(own) != asked:
        raise ValueError(f"parts {names.shape} and {own.shape} are not those of {members} members and {asked} queries")
    if groups is None or query_groups is None:
        return np.unique(names, return_inverse=True)[1], np.full((asked, 1), -1)
    known, part = np.unique(names, return_inverse=True)
    at = np.searchsorted(known, own).clip(max=len(known) - 1)
    return part, np.where(known[at] == own, at, -1)


def _highest_mean(alike: Scores, k: int) -> Scores:
    """Return the mean (m,) of each row's highest `k`, left-out ones left out; the farthest where nothing is left."""
    count = min(k, alike.shape[1])
    highest = np.partition(alike, alike.shape[1] - count, axis=1)[:, -count:]
    there = np.isfinite(highest)
    total = np.where(there, highest, 0).sum(axis=1)
    return np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), _FARTHEST)


def most_alike(
    queries: npt.ArrayLike,
    gallery: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    query_groups: npt.ArrayLike | None = None,
) -> Positions:
    """Return which of a gallery is the most alike to each query, by the cosine; of equal ones the first, (m,).

    Args:
        queries: see `defect_scores`.
        gallery: see `defect_scores`.
        groups: see `defect_scores`.
        query_groups: see `defect_scores`; where all of the gallery is of the query's own part, that is passed over.
    """
    asked, members = unit_length(queries), unit_length(gallery)
    part, own = _numbered(groups, query_groups, len(members), len(asked))
    found = np.empty(len(asked), np.int64)
    rows = max(1, _BYTES // (4 * len(members)))
    for start in range(0, len(asked), rows):
        some = slice(start, start + rows)
        passed_over = np.zeros((len(asked[some]), len(members)), bool)
        for column in own[some].T:
            passed_over |= column[:, None] == part
        passed_over[passed_over.all(axis=1)] = False
        found[some] = np.where(passed_over, -np.inf, asked[some] @ members.T).argmax(axis=1)
    return found
