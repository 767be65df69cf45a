"""The ways of training that are tried: each a method with settings, and why one would take it.

A way is simpler where training needs less beside pictures and labels: nothing, a large model's first stages, few vectors, all
vectors; then where its student sees smaller pictures. Then follow the same ways beside patches, which need a large model's first
stages at the terminal. To add one, add its line to `STUDENTS`, at its place in this order: of ways that are as good, the first is
advised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from distill.methods import settings_of
from distill.training.settings import PATCHES, Settings
from embedstore.errors import SettingsError
from embedstore.pages import Text


@dataclass(frozen=True)
class Candidate:
    """A way of training.

    Attributes:
        name: of its runs, and for `--ways`.
        method: a policy, or a method of `distill.methods`.
        says: what it is, in a few words.
        enough: begins the sentence that advises it although another way found a little more, for which training needs more.
        why: what speaks for it.
        settings: beside those that all share; in the student's name, {teacher} stands for the store's teacher.
        alone: the way whose students are asked beside patches here, by name; None where the students answer alone.
    """

    name: str
    method: str
    says: Text
    enough: Text
    why: Text
    settings: Mapping[str, Any] = field(default_factory=dict)
    alone: str | None = None

    @property
    def trained(self) -> str:
        """The way by which its students are trained, by name: another one's, where these are asked beside patches."""
        return self.alone or self.name

    def chosen(self, base: Settings, teacher: str) -> Settings:
        """Return its settings, all else as in `base`.

        Args:
            base: what all candidates share.
            teacher: the name of the store's teacher.
        """
        own = dict(self.settings)
        if "student" in own:
            own["student"] = own["student"].replace("{teacher}", teacher)
        return settings_of(self.method, replace(base, **own))


_ALIGNED = {"weight": 5.0}  # what first trials found best for own embeddings; the others get the same
_TRUNK = {"student": "trunk:{teacher}:5", "learning_rate": 1e-3}  # of 1e-4 to 2e-3 the best in first trials
_LARGE = {"size": 160}  # what that finds: docs/rare-defects.md

STUDENTS: tuple[Candidate, ...] = (
    Candidate(
        "none",
        "none",
        Text("plain training", "通常の学習"),
        Text("For this task plain training is enough", "この課題には通常の学習で十分です"),
        Text("it needs pictures and labels alone", "必要なのは画像とラベルだけです"),
    ),
    Candidate(
        "none-160px",
        "none",
        Text("plain training on pictures of 160 pixels", "通常の学習（160 画素の画像）"),
        Text(
            "For this task plain training on pictures of 160 pixels is enough",
            "この課題には、160 画素の画像での通常の学習で十分です",
        ),
        Text(
            "it needs pictures and labels alone; its larger pictures take 2.8 times as long, at the terminal, too",
            "必要なのは画像とラベルだけです。ただし端末での計算時間も約 2.8 倍になります",
        ),
        _LARGE,
    ),
    Candidate(
        "trunk",
        "none",
        Text("a fine-tuned trunk without any store", "大きなモデルの先頭の段の微調整（ストアなし）"),
        Text(
            "Here a fine-tuned trunk without any store is cheaper",
            "ここではストアを使わず、大きなモデルの先頭の段を微調整する方が手軽です",
        ),
        Text(
            "it begins with the large model's first stages and needs no stored vectors",
            "大きなモデルの先頭の段の重みから始め、保存したベクトルは要りません",
        ),
        _TRUNK,
    ),
    Candidate(
        "class-mean",
        "class-mean",
        Text("the class mean", "クラス平均"),
        Text("For this task the class mean is enough", "この課題にはクラス平均で十分です"),
        Text("one vector for each label is all that it keeps", "ラベルごとに 1 本のベクトルしか使いません"),
        _ALIGNED,
    ),
    Candidate(
        "rare-samples",
        "rare-samples",
        Text("rare samples kept", "希少画像の保持"),
        Text("For this task keeping the rare samples is enough", "この課題には希少画像を保持すれば十分です"),
        Text(
            "it keeps the rare pictures' own vectors and a few prototypes for the others",
            "希少な画像はそのベクトルを残し、他は少数の代表例にまとめます",
        ),
        _ALIGNED,
    ),
    Candidate(
        "own",
        "own",
        Text("own embeddings", "画像ごとの埋め込み"),
        Text("For this task own embeddings are enough", "この課題には画像ごとの埋め込みで十分です"),
        Text(
            "each picture is drawn to its own vector, so nothing rare is averaged away",
            "どの画像も自分のベクトルを手本にするため、まれなものが平均に埋もれません",
        ),
        _ALIGNED,
    ),
    Candidate(
        "own-160px",
        "own",
        Text("own embeddings on pictures of 160 pixels", "画像ごとの埋め込み（160 画素の画像）"),
        Text(
            "For this task own embeddings on pictures of 160 pixels are enough",
            "この課題には、画像ごとの埋め込み（160 画素の画像）で十分です",
        ),
        Text(
            "the student sees larger pictures, in which a small defect has more pixels; they take 2.8 times as long, at the "
            "terminal, too",
            "生徒はより大きな画像を見るため、小さな欠陥もより多くの画素で捉えられます。"
            "ただし端末での計算時間も約 2.8 倍になります",
        ),
        {**_ALIGNED, **_LARGE},
    ),
    Candidate(
        "trunk-own",
        "own",
        Text(
            "a fine-tuned trunk with own embeddings",
            "画像ごとの埋め込みを手本にした、大きなモデルの先頭の段の微調整",
        ),
        Text(
            "Here a fine-tuned trunk with own embeddings is enough",
            "ここでは大きなモデルの先頭の段を、画像ごとの埋め込みで微調整すれば十分です",
        ),
        Text(
            "it begins with the large model's first stages, and each picture is drawn to its own vector",
            "大きなモデルの先頭の段の重みから始め、どの画像も自分のベクトルを手本にします",
        ),
        {**_TRUNK, **_ALIGNED},
    ),
)


def beside_patches(one: Candidate) -> Candidate:
    """Return the way that asks the students of another one beside patches."""
    return Candidate(
        f"{one.name}-patches",
        one.method,
        Text(f"{one.says.en} beside patches", f"{one.says.ja}とパッチ照合の併用"),
        Text(f"Beside patches it is enough to take {one.says.en}", f"パッチ照合を併用すれば、{one.says.ja}で十分です"),
        Text(
            "each place of a picture is compared with those of good parts, which shows small defects that a mean over the "
            "picture hides; that takes a large model's first stages, at the terminal, too",
            "画像の各位置を良品と照合するため、画像全体の平均に埋もれる小さな不良も見えます。"
            "ただし、大きなモデルの先頭の段が端末でも必要です",
        ),
        {**one.settings, "answer": PATCHES},
        alone=one.name,
    )


CANDIDATES: tuple[Candidate, ...] = (
    *STUDENTS,
    *(beside_patches(one) for one in STUDENTS if "answer" not in one.settings),  # it is heads that patches stand beside
)


def chosen_candidates(names: Sequence[str], *, good: str | None = None) -> list[Candidate]:
    """Return the candidates of these names in the order of simplicity.

    Args:
        names: of them; where none is named all that can be tried.
        good: the label of good parts, which patches need.

    Raises:
        SettingsError: there is no such candidate.
    """
    known = {one.name for one in CANDIDATES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingsError(
            f"The way '{unknown[0]}' is unknown; choose among {', '.join(one.name for one in CANDIDATES)}."
        )
    if not names:
        return [one for one in CANDIDATES if one.alone is None or good is not None]
    return [one for one in CANDIDATES if one.name in names]
