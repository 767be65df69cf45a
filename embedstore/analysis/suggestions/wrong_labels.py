"""Labels that are likely wrong: the pictures of other parts, or other pictures of its own part, speak for another one.

A sample's score is what speaks for the best other label, less what the other parts say for its own; it is above 0 where the
label is outvoted. For a label speaks

    what the other parts say (`held_out_ridge`), of the sample and, as much, of all pictures of its part on average, and
    twice the share of the pictures of its own part that have it: where groups are right, this tells the most.

Pictures of its own part that have its own label say nothing for it: where a part was given a wrong label, they are wrong alike.

How much that finds, and what each finds alone, is measured by `tools/bench/suggestions.py`. Where single labels are wrong, the
groups find them: the own part alone, without any vector, does as well, and better where the wrong label is that of a look-alike.
Where whole parts are wrong, only the other parts can tell; that is harder, since many true defects look like good parts, and
there cleanlab's ranking of the same scores finds some more: pictures that contradict their part come first here, until they are
put right or called right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.analysis.odd_distances import Numbers, Positions
from embedstore.analysis.suggestions.evidence import Evidence, Labelled
from embedstore.analysis.suggestions.suggestion import Found, Suggestion, filled, number_of, quoted
from embedstore.pages.words import Text
from embedstore.verdicts import VERDICT, Verdict

OWN_PART = 2.0  # how much its own part says, beside the others
_NAMED = 5  # labels that a remark names

_OTHERS = Text(
    "It is labelled {own}, but judged by the pictures of other parts it is {new}; the parts most like it say {new} ({near} of "
    "{count}) and {own} ({kept} of {count}).",
    "ラベルは{own}ですが、別の部品の画像から判断すると{new}です。最も似ている別の部品 {count} 個のうち、{new}は {near} 個、"
    "{own}は {kept} 個です。",
)
_MATES = Text(
    "It is labelled {own}, but other labelled pictures of its part say {new} ({mates} of {all}). Judged by the pictures of other "
    "parts it is {says}; the parts most like it say {new} ({near} of {count}) and {own} ({kept} of {count}).",
    "ラベルは{own}ですが、同じ部品の他のラベル付き画像 {all} 枚のうち {mates} 枚は{new}です。別の部品の画像から"
    "判断すると{says}で、最も似ている別の部品 {count} 個のうち、{new}は {near} 個、{own}は {kept} 個です。",
)
_NOTHING = Text(
    "Wrong labels can't be told: it takes labelled pictures of two labels and two parts.",
    "ラベルの誤りは判断できません。2 種類以上のラベルと 2 個以上の部品のラベル付き画像が必要です。",
)


@dataclass(frozen=True)
class Judged:
    """What is held against the labels of n samples.

    Attributes:
        scores: (n,) how much, see above; above 0 only where the other parts, or more of the other pictures of its own part
            than have its label, speak for another one.
        new: (n,) the other label that most speaks for.
        others: (n,) the label that the other parts say.
        mates: (n,) how many pictures of its part have the new label.
    """

    scores: Numbers
    new: Positions
    others: Positions
    mates: Positions


def find(evidence: Evidence) -> Found:
    """Return the samples whose label the others speak against.

    Left out are those that a person has given a verdict, and labels of one part only, for which no other part could speak.
    """
    labelled = evidence.labelled
    if labelled is None:
        return Found([], [_NOTHING])
    samples, labels = labelled.samples, labelled.labels
    judged = judge(labelled.scores, labelled.own, samples.parts)
    at = suspects(labelled, judged)
    shown = at[: evidence.top]
    sizes = np.bincount(samples.parts)
    found = []
    for one, near in zip(shown.tolist(), labelled.nearest_labels(shown), strict=True):
        sample, new, mates = samples.samples[one], labels[judged.new[one]], int(judged.mates[one])
        facts = {
            "own": quoted(sample.label),
            "new": quoted(new),
            "says": quoted(labels[judged.others[one]]),
            "mates": mates,
            "all": int(sizes[samples.parts[one]]) - 1,
            "count": len(near),
            "near": near.count(new),
            "kept": near.count(str(sample.label)),
        }
        reason = filled(_MATES if mates else _OTHERS, **facts)
        # A verdict names no label with outer blanks.
        verdicts = {sample.id: Verdict("wrong-label", new)} if new and new == new.strip() else {}
        found.append(Suggestion("wrong-labels", (sample.id,), float(judged.scores[one]), reason, verdicts))
    return Found(found, _remarks(evidence, labelled, len(at)))


def judge(scores: npt.NDArray[np.floating], own: Positions, parts: Positions) -> Judged:
    """Weigh what speaks against labels.

    Args:
        scores: (n, labels) what the other parts say.
        own: (n,) the number of each sample's label.
        parts: (n,) a number for the part that each shows.
    """
    counts = np.zeros((int(parts.max()) + 1, scores.shape[1]))
    sums = np.zeros(counts.shape)
    np.add.at(counts, (parts, own), 1)
    np.add.at(sums, parts, scores)
    sizes, lines = np.maximum(counts.sum(axis=1, keepdims=True), 1), np.arange(len(own))
    said = (scores + (sums / sizes)[parts]) / 2
    speaks = said + OWN_PART * (counts / sizes)[parts]
    speaks[lines, own] = -np.inf
    new = speaks.argmax(axis=1)
    against = speaks[lines, new] - said[lines, own]
    mates = counts[parts, new].astype(np.int64)
    contradicted = (said[lines, new] > said[lines, own]) | (mates > counts[parts, own] - 1)
    return Judged(np.where(contradicted, against, np.minimum(against, 0)), new, said.argmax(axis=1), mates)


def suspects(labelled: Labelled, judged: Judged) -> Positions:
    """Return places of the samples whose label may be wrong, the likeliest first; of equals the first by id."""
    at = np.flatnonzero(_open(labelled) & ~_of_one_part(labelled)[labelled.own] & (judged.scores > 0))
    return at[np.argsort(-judged.scores[at], kind="stable")]


def suspected_ids(evidence: Evidence) -> set[str]:
    """Return the ids of all suspects."""
    labelled = evidence.labelled
    if labelled is None:
        return set()
    judged = judge(labelled.scores, labelled.own, labelled.samples.parts)
    return {labelled.samples.ids[at] for at in suspects(labelled, judged).tolist()}


def _open(labelled: Labelled) -> npt.NDArray[np.bool_]:
    """Return which samples (n,) no person has given a verdict."""
    return np.array([VERDICT not in one.attributes for one in labelled.samples.samples], bool)


def _of_one_part(labelled: Labelled) -> npt.NDArray[np.bool_]:
    """Return which labels (labels,) are of one part only: no other part shows what they look like."""
    pairs = np.unique(np.stack([labelled.own, labelled.samples.parts]), axis=1)
    parts_of = np.bincount(pairs[0], minlength=len(labelled.labels))
    return np.asarray(parts_of == 1)


def _remarks(evidence: Evidence, labelled: Labelled, suspected: int) -> list[Text]:
    found = [
        Text(
            f"The others speak against the labels of {number_of(suspected, 'picture')}. That is no count of wrong labels: a "
            "defect that is hard to see looks like one, too, and where all labels are right, every one of these is. Look at "
            "each. If a label is right, say so, by a verdict with the label that it has, and it is not suggested again.",
            f"{suspected} 枚の画像で、他の画像がラベルと食い違います。これはラベルの誤りの数ではありません。"
            "見分けにくい欠陥も同じように見え、ラベルがすべて正しければ誤りは 1 枚もありません。1 枚ずつ確認してください。"
            "ラベルが正しければ、今のラベルのままと判定すると、次から表示されません。",
        )
    ]
    if lone := _lone_labels(labelled):
        found.append(lone)
    alone = evidence.store.counts("group").get(None, 0)
    if alone:
        found.append(
            Text(
                f"{alone} of {len(evidence.samples)} pictures have no group, so each counts as a part of its own, and twins with "
                "the same wrong label vouch for each other. To find such groups: embedstore twins",
                f"画像 {len(evidence.samples)} 枚のうち {alone} 枚にはグループがなく、それぞれ別の部品として扱われます。"
                "同じ誤りのある同じ部品の画像は、互いを正しく見せます。グループの検出: embedstore twins",
            )
        )
    return found


def _lone_labels(labelled: Labelled) -> Text | None:
    """Say which labels of one part only nothing can be said of; None where there is none that a person has not looked at."""
    lone = _open(labelled) & _of_one_part(labelled)[labelled.own]
    names = sorted({labelled.labels[one] for one in labelled.own[lone].tolist()})
    if not names:
        return None
    named, more, count = [quoted(name) for name in names[:_NAMED]], len(names) - _NAMED, int(lone.sum())
    if more > 0:
        named.append(Text(f"and {more} more", f"他 {more} 種類"))
    return Text(
        f"Of {number_of(count, 'picture')} with a label that no other part has, nothing can be said; see whether it is misspelt: "
        f"{', '.join(one.en for one in named)}.",
        f"他の部品にないラベルの付いた画像 {count} 枚は判断できません。書き間違いがないか確認してください: "
        f"{'、'.join(one.ja for one in named)}。",
    )
