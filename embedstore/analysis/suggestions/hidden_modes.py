"""Modes without a prototype: kinds of a label that share their prototypes with others.

A mode has a prototype where more than half of the samples that one of its label speaks for are of that mode. A suggestion's
score is the share of the mode's samples that lie nearer to a prototype of another label than to any of their own: what a
student that learns from the summary is told wrongly of. A prototype of a sample's own part says nothing of that; samples for
which no other of their label is left are not counted. Its samples are up to three typical ones, of different parts; called
rare, they are prototypes of a summary by `rare-samples`.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from embedstore.analysis.odd_distances import Positions
from embedstore.analysis.odd_samples import Comparison, Sentence
from embedstore.analysis.odd_words import compared_with, remarks
from embedstore.analysis.suggestions.evidence import Evidence, dirt
from embedstore.analysis.suggestions.suggestion import Found, Suggestion, filled, number_of, quoted
from embedstore.analysis.suggestions.wrong_labels import suspected_ids
from embedstore.errors import SummaryError
from embedstore.pages.words import Text
from embedstore.verdicts import VERDICT, Verdict

EXAMPLES = 3
_AT_ONCE = 4_096

_SHARED = Text(
    "{label} has {prototypes} and none that stands mostly for {mode}, so prototypes that it shares with others speak for the "
    "{seen} of it that the summary was made from ({parts}).{unseen} {astray}{doubtful}",
    "{label}の代表例（{prototypes}）に、主に{mode}を表すものはありません。要約に使われた{mode}の画像 {seen}（{parts}）は、"
    "他の種類と共通の代表例で表されています。{unseen}{astray}{doubtful}",
)
_UNSEEN = Text(
    "The summary was made without any of the {count} of {mode} ({label}, {parts}). {astray}{doubtful}",
    "この要約は{mode}（{label}）の画像 {count}（{parts}）を 1 枚も使わずに作られました。{astray}{doubtful}",
)
_DOUBTFUL = Text(
    " Whether these have the right label is in doubt, too (wrong-labels): {ids}; settle that first.",
    "次の画像はラベル自体も疑わしいため（wrong-labels）、先に確認してください: {ids}。",
)
_NO_MODES = Text(
    "No labelled picture has a mode, so no kind can be hidden; a manifest's column `mode` gives modes.",
    "種類（mode）が付いたラベル付き画像がないため、埋もれた種類は判断できません。マニフェストの mode 列で指定できます。",
)
_NO_SUMMARY = Text(
    "All labelled pictures are set aside, so there is none to make prototypes from; name a summary with: --against SUMMARY",
    "ラベル付き画像がすべて別扱い（aside）のため、代表例を作れません。要約を指定してください: --against SUMMARY",
)
_CODED = Text(
    "The summary keeps a code of each picture's own vector, so no mode is averaged with others.",
    "この要約は画像ごとのベクトルの符号を保持するため、種類が平均されて埋もれることはありません。",
)


def find(evidence: Evidence) -> Found:
    """Return the modes that the summary has no prototype of, the most misled first."""
    modes: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, one in enumerate(evidence.samples.samples):
        if one.label is not None and one.mode is not None and not dirt(one):
            modes[one.label, one.mode].append(at)
    if not modes:
        return Found([], [_NO_MODES])
    if evidence.against is not None and evidence.against.codes:
        return Found([], [_CODED])
    try:
        comparison = evidence.comparison
    except SummaryError:
        if evidence.given:
            raise
        return Found([], [_NO_SUMMARY])
    told = _modes_told(comparison)
    hidden = {one: rows for one, rows in modes.items() if one not in told}
    suspected = suspected_ids(evidence) if hidden else set()
    found = [
        _describe(comparison, label, mode, np.array(rows, np.int64), suspected)
        for (label, mode), rows in hidden.items()
    ]
    summary, given = comparison.summary, evidence.given
    words = [
        compared_with(summary, given=given),
        *remarks(evidence.store, summary, {one for one, _ in modes}, given=given),
    ]
    found.sort(key=lambda one: (-one.score, one.ids))
    return Found(found[: evidence.top], [_text(one) for one in words])


def _modes_told(comparison: Comparison) -> set[tuple[str, str]]:
    """Return the modes, with their labels, that make up more than half of what some prototype speaks for."""
    members: dict[int, Counter[str | None]] = defaultdict(Counter)
    for at, prototype in enumerate(comparison.distances.member_of.tolist()):
        if prototype >= 0:
            members[prototype][comparison.samples.samples[at].mode] += 1
    return {
        (comparison.summary.labels[prototype], mode)
        for prototype, counts in members.items()
        for mode, count in counts.most_common(1)
        if mode is not None and 2 * count > counts.total()
    }


def _describe(comparison: Comparison, label: str, mode: str, rows: Positions, suspected: set[str]) -> Suggestion:
    distances, labels, parts = comparison.distances, comparison.summary.labels, comparison.samples.parts
    judged = rows[np.isfinite(distances.distance[rows])]
    # With a label that the summary lacks, a sample was compared with all prototypes, and each is of another label.
    nearer = distances.other_distance[judged] < distances.distance[judged]
    astray = int(nearer.sum()) if label in labels else len(judged)
    share = astray / len(judged) if len(judged) else 0.0
    seen = rows[distances.member_of[rows] >= 0]
    of = seen if len(seen) else rows
    examples = [comparison.samples.samples[at] for at in _typical(comparison, of)]
    facts = {
        "label": quoted(label),
        "mode": quoted(mode),
        "prototypes": _number(labels.count(label), "prototype", "個"),
        "count": _number(len(rows), "picture", "枚"),
        "seen": _number(len(seen), "picture", "枚"),
        "parts": _number(len(np.unique(parts[of])), "part", "個の部品"),
        "unseen": _unseen(len(rows) - len(seen)),
        "astray": _astray(astray, len(judged), len(rows)),
        "doubtful": _doubtful([one.id for one in examples if one.id in suspected]),
    }
    return Suggestion(
        "hidden-modes",
        tuple(one.id for one in examples),
        share,
        filled(_SHARED if len(seen) else _UNSEEN, **facts),
        {one.id: Verdict("rare") for one in examples if VERDICT not in one.attributes},
    )


def _number(count: int, english: str, japanese: str) -> Text:
    return Text(number_of(count, english), f"{count} {japanese}")


def _unseen(count: int) -> Text:
    if not count:
        return Text("", "")
    return Text(
        f" Not in the summary: {number_of(count, 'picture')} more.", f"他の {count} 枚は要約に使われていません。"
    )


def _astray(astray: int, judged: int, count: int) -> Text:
    """Say how many of some pictures lie nearer to another label, out of those that other parts can judge."""
    if not judged:
        return Text(
            "No other part tells whether they lie nearer to another label.",
            "別のラベルにより近いかどうかを判断できる別の部品はありません。",
        )
    alone = count - judged
    left = (
        Text(
            f"; of {alone} more, no other part tells that", f"。他の {alone} 枚については判断できる別の部品がありません"
        )
        if alone
        else Text("", "")
    )
    return Text(
        f"Nearer to a prototype of another label than to any of its own: {astray} of {judged} ({astray / judged:.0%}){left.en}.",
        f"別のラベルの代表例に、より近いもの: {judged} 枚のうち {astray} 枚（{astray / judged:.0%}）{left.ja}。",
    )


def _doubtful(ids: list[str]) -> Text:
    """Say of which examples the label is suspected: a sample is not rare and wrongly labelled at once."""
    if not ids:
        return Text("", "")
    return filled(_DOUBTFUL, ids=Text(", ".join(f"'{one}'" for one in ids), "、".join(f"「{one}」" for one in ids)))


def _typical(comparison: Comparison, rows: Positions) -> list[int]:
    """Return the samples nearest to the mean direction of some, one a part."""
    blocks = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
    mean = sum(comparison.samples.directions(at).sum(axis=0) for at in blocks)
    near = np.concatenate([comparison.samples.directions(at) @ mean for at in blocks])
    chosen: dict[int, int] = {}
    for at in rows[np.argsort(-near, kind="stable")].tolist():
        chosen.setdefault(int(comparison.samples.parts[at]), at)
        if len(chosen) == EXAMPLES:
            break
    return list(chosen.values())


def _text(sentence: Sentence) -> Text:
    return Text(sentence.en, sentence.ja)
