"""Twins on two sides of the split: a held-out picture whose part is also on a side before it, so that figures flatter.

A suggestion's score is the cosine of the two pictures, the held-out one first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from embedstore.analysis.leaks import find_leaks
from embedstore.analysis.odd_distances import Positions
from embedstore.analysis.suggestions.evidence import Evidence, dirt
from embedstore.analysis.suggestions.suggestion import Found, Suggestion, filled
from embedstore.analysis.twins import FEWEST, find_twins
from embedstore.errors import SettingsError
from embedstore.pages.words import Text
from embedstore.verdicts import VERDICT, Verdict

if TYPE_CHECKING:
    from embedstore.images import Sample

_SIDES = ("train", "val", "test")
_AT_ONCE = 1_024

_FOUND = Text(
    "It is on the {side} side and '{other}' on the {before} side, but they are so much alike (cosine {cosine:.3f}) that they "
    "probably show one part: if so, figures of the {side} side look better than they are.",
    "この画像は {side} 側、「{other}」は {before} 側にありますが、よく似ており、おそらく同じ部品です（コサイン {cosine:.3f}）。"
    "そうであれば、{side} 側の数値は実際より良く見えます。",
)
_GIVEN = Text(
    "It is on the {side} side and '{other}' on the {before} side, but both have the group '{group}' (cosine {cosine:.3f}), so "
    "they show one part: figures of the {side} side look better than they are.",
    "この画像は {side} 側、「{other}」は {before} 側にありますが、どちらもグループ「{group}」で（コサイン {cosine:.3f}）、"
    "同じ部品の画像です。{side} 側の数値は実際より良く見えます。",
)
_NO_SPLIT = Text(
    "No split is written, so nothing can be torn; write one with: embedstore split",
    "分割がまだ書かれていないため、同じ部品の画像が分かれることはありません。分割: embedstore split",
)
_ONE_SIDE = Text(
    "All pictures that are on a side are on the same one, so nothing can be torn.",
    "用途のある画像はすべて同じ側にあるため、同じ部品の画像が分かれることはありません。",
)
_ONLY_GROUPS = Text(
    f"With fewer than {FEWEST} pictures, or only equal ones, twins can't be told from the vectors; only given groups were looked "
    "at.",
    f"画像が {FEWEST} 枚より少ないか、すべて等しいため、ベクトルから同じ部品の画像を見分けられません。"
    "登録済みのグループだけを調べました。",
)
_THEN = Text(
    "The sides stay as they are until they are dealt anew, by group: embedstore split",
    "用途の分割は、グループごとに分け直すまで変わりません: embedstore split",
)


def find(evidence: Evidence) -> Found:
    """Return held-out pictures of which a twin, or a picture of the same group, is on an earlier side; one pair each."""
    samples = evidence.samples.samples
    side = np.array(
        [_SIDES.index(one.split) if one.split in _SIDES and not dirt(one) else -1 for one in samples], np.int64
    )
    sides = np.unique(side[side >= 0])
    if len(sides) < 2:
        return Found([], [_ONE_SIDE if len(sides) else _NO_SPLIT])
    try:
        sets = find_twins(evidence.store).sets
        remarks = []
    except SettingsError:
        sets, remarks = [], [_ONLY_GROUPS]
    leaks = find_leaks(evidence.store, sets)
    row = {name: at for at, name in enumerate(evidence.samples.ids)}
    together = [[row[name] for name in ids] for ids in leaks.torn_sets]
    of_group: dict[str, list[int]] = {name: [] for name in leaks.torn_groups}
    for at, one in enumerate(samples):
        if one.group in of_group:
            of_group[one.group].append(at)
    best: dict[int, tuple[float, int]] = {}
    for members in (*together, *of_group.values()):
        for at, cosine, other in _pairs(evidence, np.array(members, np.int64), side):
            best[at] = max(best.get(at, (-2.0, 0)), (cosine, -other))  # of equals the first by id
    ranked = sorted(best, key=lambda at: (-best[at][0], at))[: evidence.top]
    return Found(
        [_describe(evidence, at, -best[at][1], best[at][0]) for at in ranked],
        remarks + [_THEN] * bool(ranked),
    )


def _pairs(evidence: Evidence, members: Positions, side: Positions) -> list[tuple[int, float, int]]:
    """Return for each of some pictures of one part that has another on an earlier side the one most like it, and the cosine."""
    members = members[side[members] >= 0]
    late = members[side[members] > side[members].min(initial=len(_SIDES))]
    early = members[side[members] < side[members].max(initial=-1)]
    found = []
    for some in _blocks(late):
        directions, lines = evidence.samples.directions(some), np.arange(len(some))
        best, other = np.full(len(some), -np.inf), np.zeros(len(some), np.int64)
        for others in _blocks(early):
            cosines = directions @ evidence.samples.directions(others).T
            cosines[side[some][:, None] <= side[others]] = -np.inf
            pick = cosines.argmax(axis=1)
            nearer = cosines[lines, pick] > best  # of equals the first
            best[nearer], other[nearer] = cosines[lines, pick][nearer], others[pick][nearer]
        found += list(zip(some.tolist(), best.tolist(), other.tolist(), strict=True))
    return found


def _blocks(places: Positions) -> Iterator[Positions]:
    for start in range(0, len(places), _AT_ONCE):
        yield places[start : start + _AT_ONCE]


def _describe(evidence: Evidence, at: int, earlier: int, cosine: float) -> Suggestion:
    one, other = evidence.samples.samples[at], evidence.samples.samples[earlier]
    given = one.group is not None and one.group == other.group
    facts = {"side": one.split, "before": other.split, "other": other.id, "group": one.group, "cosine": cosine}
    reason = filled(_GIVEN if given else _FOUND, **facts)
    return Suggestion("torn-twins", (one.id, other.id), cosine, reason, {} if given else _verdict(one, other))


def _verdict(one: Sample, other: Sample) -> dict[str, Verdict]:
    """Say that two are twins, of the one that has no verdict yet: what a person said stays, and it goes both ways."""
    for said_of, twin in ((one, other), (other, one)):
        if VERDICT not in said_of.attributes:
            return {said_of.id: Verdict("twin", twin.id)}
    return {}
