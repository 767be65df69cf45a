"""Which of the kinds of drift it is, from what was measured, and the answer in plain words."""

from __future__ import annotations

from dataclasses import dataclass

from embedstore.analysis.drift.report import Kind, LabelRow, Light
from embedstore.pages.words import Text

FEW_PICTURES, FEW_PARTS = 10, 4  # as many, or fewer, are too few to tell kinds apart, or to call anything quiet
PICTURES, PARTS = 50, 10  # to ask for where there are too few; 50 magnetic tiles show about 10 parts
FEW_OUTSIDE = 0.25  # share of the batch that may be outside where only a few pictures are new
EXPLAINED, ALIKE = 0.9, 0.75  # from which on a common shift is what changed


@dataclass(frozen=True)
class Measures:
    """What decides; see `report.DriftReport` for the names."""

    p: float
    p_whole: float
    p_few: float
    p_rest: float
    p_mix: float
    false_alarms: float
    light: Light | None
    pictures: int
    parts: int
    parts_known: bool
    outside: int
    clustered: bool | None
    explained: float
    alike: float

    @property
    def few(self) -> bool:
        """Whether the batch is too small to tell."""
        return self.few_pictures or self.few_parts

    @property
    def few_pictures(self) -> bool:
        """Whether it has too few pictures for that."""
        return self.pictures <= FEW_PICTURES

    @property
    def few_parts(self) -> bool:
        """Whether these show too few parts for that."""
        return self.parts <= FEW_PARTS

    @property
    def light_differs(self) -> bool:
        """Whether the pictures themselves differ."""
        return self.light is not None and self.light.p <= self.false_alarms

    @property
    def only_light(self) -> bool:
        """Whether the pictures themselves differ, and the teacher sees nothing that all share."""
        return self.light_differs and self.p_whole > self.false_alarms

    @property
    def only_some(self) -> bool:
        """Whether some pictures stand apart, few of the batch, and the others are as usual."""
        apart = self.p_few <= self.false_alarms and 0 < self.outside <= FEW_OUTSIDE * self.pictures
        return apart and self.p_rest > self.false_alarms and not self.light_differs

    @property
    def common(self) -> bool:
        """Whether a shift that all pictures share explains most.

        Light differs so much from part to part that few more than half of the pictures need be darker than the usual: where one
        shift explains the pictures themselves, `alike` is not asked for.
        """
        lit = self.light_differs and self.light is not None and self.light.explained >= EXPLAINED
        seen = self.explained >= EXPLAINED and (lit or self.alike >= ALIKE)
        return seen or (lit and self.only_light)


def kind_of(found: Measures) -> Kind:
    """Return the kind: a few pictures first, then a common shift, else the line."""
    if found.p > found.false_alarms:
        return "too-few" if found.few else "quiet"
    if found.few:
        return "unclear"
    if found.only_some:
        return "new-defect"
    return "camera" if found.common else "line"


def sentences_of(found: Measures, kind: Kind, labels: list[LabelRow]) -> list[Text]:
    """Return the answer, the verdict first."""
    told = [_verdict(found, kind)]
    odds = Text(
        f"An unchanged batch of this size looks as different in {_share(found.p)} of draws (an alarm: "
        f"{_share(found.false_alarms)} or less).",
        f"変化のない同じ大きさのバッチがこれほど違って見える割合は {_share(found.p)} です"
        f"（{_share(found.false_alarms)} 以下なら警報）。",
    )
    told.append(odds)
    if found.light is not None:
        told.append(_light(found.light))
    if found.few and found.outside:
        told.append(
            Text(
                f"What can be said: {found.outside} of {found.pictures} stand apart more than 99 of 100 pictures of the store.",
                f"言えること：{found.pictures} 枚中 {found.outside} 枚が、ストアの画像 100 枚中 99 枚よりも離れています。",
            )
        )
    elif found.few:
        told.append(
            Text(
                "What can be said: none of them stands apart more than 99 of 100 pictures of the store.",
                "言えること：ストアの画像 100 枚中 99 枚よりも離れているものはありません。",
            )
        )
    if found.p_mix <= found.false_alarms and not found.few:
        most = max(labels, key=lambda row: abs(row.share - row.usual_share))
        name = f"'{most.label}'" if most.label else "pictures without a label"
        ja = f"「{most.label}」" if most.label else "ラベルなし"
        told.append(
            Text(
                f"The mix differs, which alone is no drift: {most.share:.0%} look like {name}, in the store "
                f"{most.usual_share:.0%}.",
                f"構成比が異なります（それだけではドリフトではありません）：{ja}らしい画像が {most.share:.0%}、"
                f"ストアでは {most.usual_share:.0%}。",
            )
        )
    return told


def _verdict(found: Measures, kind: Kind) -> Text:  # noqa: PLR0911  one a kind
    some = f"{found.outside} of {found.pictures} pictures"
    if kind == "quiet":
        return Text(
            "Quiet: this batch is still what the store describes.",
            "変化なし：このバッチはストアの内容と一致しています。",
        )
    if kind == "too-few":
        return _too_few(found)
    if kind == "camera" and found.only_light:
        return Text(
            "Camera or light changed: the pictures themselves differ from the store's, all alike, though the teacher hardly sees "
            "it.",
            "カメラまたは照明が変わりました：画像そのものが一様に変わっていますが、教師モデルにはほとんど見えていません。",
        )
    if kind == "camera":
        return Text(
            f"Camera or light changed: the pictures moved alike; one common shift explains {found.explained:.0%} of the "
            f"difference, and {found.alike:.0%} of the pictures moved that way. Or nearly all of them show one thing, such as "
            "one kind of defect: look at some.",
            f"カメラまたは照明が変わりました：画像が一様に動き、共通のずれが違いの {found.explained:.0%} を説明します"
            f"（{found.alike:.0%} の画像が同じ向き）。または、ほとんどの画像が同じもの（一種類の不良など）を写しています。"
            "何枚か見てください。",
        )
    if kind == "new-defect":
        near = {
            True: Text("and near each other", "互いに似ています"),
            False: Text(
                "though not near each other: several kinds, or spoilt pictures",
                "互いには似ておらず、複数の種類か撮影不良です",
            ),
            None: Text("all of one part, which may be a spoilt picture", "一つの部品だけなので撮影不良かもしれません"),
        }[found.clustered]
        return Text(
            f"A new defect: {some} lie outside of all that the store has, {near.en}; the others are as usual.",
            f"新しい不良：{found.pictures} 枚中 {found.outside} 枚がストアのどの画像からも離れています（{near.ja}）。"
            "残りはいつもどおりです。",
        )
    if kind == "line":
        return Text(
            "The line changed: many pictures differ, and not all alike; look at those that moved most, and build a store of what "
            "is made now.",
            "ラインが変わりました：多くの画像が、それぞれ違う形で変わっています。大きく動いた画像を確認し、"
            "現在の製品でストアを作り直してください。",
        )
    lacking = Text("so few pictures", "画像") if found.few_pictures else Text("pictures of so few parts", "部品")
    these = "this picture is" if found.pictures == 1 else f"these {found.pictures} are"
    return Text(
        f"Drift, of a kind that {lacking.en} can't tell: {these} not what the store describes.",
        f"ドリフトあり（種類は不明）：この {found.pictures} 枚はストアの内容と異なりますが、{lacking.ja}が少なすぎて"
        "種類は判断できません。",
    )


def _too_few(found: Measures) -> Text:
    """Say that so few could hardly show a change, and what to give more of: many pictures of few parts are few, too."""
    about = Text("", "") if found.parts_known else Text("perhaps ", "約 ")
    pictures = "1 picture" if found.pictures == 1 else f"{found.pictures} pictures"
    parts = "1 part" if found.parts == 1 else f"{found.parts} parts"
    show = "shows" if found.pictures == 1 else "show"
    wanted = {
        (True, True): Text(
            f"{PICTURES} pictures or more, of {PARTS} parts or more", f"{PARTS} 個以上の部品を {PICTURES} 枚以上"
        ),
        (True, False): Text(f"{PICTURES} pictures or more", f"{PICTURES} 枚以上"),
        (False, True): Text(f"pictures of {PARTS} parts or more", f"{PARTS} 個以上の部品の画像"),
    }[found.few_pictures, found.few_parts]
    return Text(
        f"Too few to tell: {pictures} of {about.en}{parts} {show} no change, but could hardly show one; give {wanted.en}.",
        f"判断できません：{found.pictures} 枚（部品 {about.ja}{found.parts} 個）に変化は見られませんが、少なすぎます。"
        f"{wanted.ja}で調べてください。",
    )


def _light(light: Light) -> Text:
    level, contrast, sharpness = (f"{one:.2f}" for one in (light.level, light.contrast, light.sharpness))
    return Text(
        f"The pictures themselves, where the store's are 1: brightness {level}, contrast {contrast}, sharpness {sharpness} "
        f"(an unchanged batch differs as much in {_share(light.p)} of draws).",
        f"画像そのもの（ストアを 1 として）：明るさ {level}、コントラスト {contrast}、鮮明さ {sharpness}"
        f"（変化のないバッチがこれほど違う割合は {_share(light.p)}）。",
    )


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"
