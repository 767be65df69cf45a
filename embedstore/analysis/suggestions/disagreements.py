"""Samples that teacher and student see differently: the student says one label, the other parts, by the teacher, another.

A suggestion's score is how sure both are of what they say, the mean of two margins: by how much the student prefers its
label to the other parts' one, and these theirs to the student's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embedstore.analysis.odd_distances import Positions
from embedstore.analysis.suggestions.evidence import Evidence, StudentScores
from embedstore.analysis.suggestions.suggestion import Found, Suggestion, filled, number_of, quoted
from embedstore.pages.words import Text

_DIFFER = Text(
    "The student says {says} ({sure:.2f}), but judged by the pictures of other parts, as the teacher sees them, it is {other}; "
    "the parts most like it say {other} ({near} of {count}) and {says} ({same} of {count}). Its label is {label}. {learned}",
    "生徒は{says}（{sure:.2f}）と答えますが、教師で見た別の部品の画像から判断すると{other}です。"
    "最も似ている別の部品 {count} 個のうち、{other}は {near} 個、{says}は {same} 個です。ラベルは{label}です。{learned}",
)
_HELD_OUT = Text("The student did not learn from it.", "この画像は学習に使われていません。")
_LEARNED = Text(
    "The student may have learned from it, so that its answer says less.",
    "この画像は学習に使われた可能性があり、答えの重みは小さくなります。",
)
_NO_STUDENT = Text(
    "No student was asked; name a finished run with: --run RUN",
    "生徒には尋ねていません。完了した学習を指定してください: --run RUN",
)
_NO_LABELS = Text(
    "The student and the store's labelled pictures share fewer than two labels, so nothing can be compared.",
    "生徒とストアのラベル付き画像に共通のラベルが 2 種類以上ないため、比べられません。",
)

_BY_NAME = Text(
    "The store does not keep the version that the run learned from, so pictures are told by their names, and one that was "
    "renamed since is taken for another.",
    "学習に使われたバージョンがストアに残っていないため、画像は名前で照合しています。その後に名前が変わった画像は、"
    "別の画像と取り違えられます。",
)


def find(evidence: Evidence) -> Found:
    """Return the labelled samples whose label the student and the other parts see differently, the surest first.

    Each answers out of all labels that it knows. Where the other does not know that answer, nothing is compared: such samples
    are counted in a remark.
    """
    student, labelled = evidence.student, evidence.labelled
    if student is None:
        return Found([], [_NO_STUDENT])
    if labelled is None or len(set(student.classes) & set(labelled.labels)) < 2:
        return Found([], [_NO_LABELS])
    place = {name: at for at, name in enumerate(labelled.samples.ids)}
    asked = sorted((place[name], number) for number, name in enumerate(student.ids) if name in place)
    known = np.array([at for at, _ in asked], np.int64)  # in the order of ids
    classes = sorted(student.classes)
    its = np.asarray(student.probabilities, np.float64)[[number for _, number in asked]]
    its = its[:, [list(student.classes).index(label) for label in classes]]
    theirs, lines = labelled.scores[known], np.arange(len(known))
    says, other = its.argmax(axis=1), theirs.argmax(axis=1)
    # The place of each answer among the other's labels, -1 where it is unknown there.
    there = _places(classes, labelled.labels)[says]
    here = _places(labelled.labels, classes)[other]
    both = (there >= 0) & (here >= 0)
    gap = (its[lines, says] - its[lines, here] + theirs[lines, other] - theirs[lines, there]) / 2
    differ = np.flatnonzero(both & (there != other))
    shown = differ[np.argsort(-gap[differ], kind="stable")][: evidence.top]  # of equals the first by id
    found = []
    for line, near in zip(shown.tolist(), labelled.nearest_labels(known[shown]), strict=True):
        sample, answer, seen = (
            labelled.samples.samples[known[line]],
            classes[int(says[line])],
            labelled.labels[int(other[line])],
        )
        facts = {
            "sure": float(its[line, says[line]]),
            "count": len(near),
            "near": near.count(seen),
            "same": near.count(answer),
            "says": quoted(answer),
            "other": quoted(seen),
            "label": quoted(sample.label),
            "learned": _HELD_OUT if student.held_out else _LEARNED,
        }
        found.append(Suggestion("student", (sample.id,), float(gap[line]), filled(_DIFFER, **facts)))
    return Found(found, _remarks(student, int(both.sum()), int((~both).sum()), len(differ)))


def _places(labels: Sequence[str], among: Sequence[str]) -> Positions:
    """Return where each label is among others, -1 where it is not."""
    place = {label: at for at, label in enumerate(among)}
    return np.array([place.get(label, -1) for label in labels], np.int64)


def _remarks(student: StudentScores, compared: int, apart: int, differ: int) -> list[Text]:
    found = [
        Text(
            f"Of {number_of(compared, 'labelled picture')} that the student was asked about, it sees {differ} otherwise than the "
            "teacher.",
            f"生徒に尋ねたラベル付き画像 {compared} 枚のうち、{differ} 枚で教師と見方が異なります。",
        )
    ]
    if apart:
        found.append(
            Text(
                f"Left out: {number_of(apart, 'picture')} of which student or teacher says a label that the other does not know.",
                f"生徒か教師の答えが相手の知らないラベルである画像 {apart} 枚は比べていません。",
            )
        )
    if left := student.left_out + len(student.ids) - compared - apart:
        found.append(
            Text(
                f"Left out: {number_of(left, 'picture')} that the student was asked about, but that the store does not have, or "
                "that were taken again since, or that have no label or are dirt.",
                "生徒に尋ねた画像のうち、ストアにないか、その後に撮り直されたか、ラベルがないか、撮影不良とされている "
                f"{left} 枚は比べていません。",
            )
        )
    if student.by_name:
        found.append(_BY_NAME)
    return found
