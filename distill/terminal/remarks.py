"""What is said of predictions: what pictures were compared with, and where the threshold comes from. Needs no PyTorch."""

import re
from collections.abc import Sequence

from distill.evaluation.metrics import too_few
from distill.terminal.gallery import Gallery
from embedstore.images import Listing
from embedstore.pages.words import Text
from embedstore.summaries import Summary

NOT_KEPT = Text(
    "What the model saw of these pictures is not kept; to spare that the next time, give --gallery FILE.",
    "モデルが求めたこれらの画像の特徴は保存されていません。--gallery FILE を付けると、次回は計算を省けます。",
)
NO_SPLIT = Text(
    "The store has no split, so the student may have learned from some of the good pictures that set the threshold, and rejects "
    "more of new ones; write a split before you train: embedstore split STORE",
    "ストアに分割がないため、しきい値を決めた良品画像の一部を生徒モデルが学習している可能性があり、新しい良品の誤判定は増えます。"
    "学習の前に分割してください：embedstore split STORE",
)
_MADE_OF = re.compile(r"The (store|folder|light file) '(.*)'(?: \(version (\d+)\))?", re.DOTALL)
_SOURCES = {"store": "ストア", "folder": "フォルダ", "light file": "軽量ファイル"}


def given(threshold: float) -> Text:
    """Say that nobody has set the threshold but who asked."""
    return Text(f"The threshold {threshold:.4f} is the given one.", f"しきい値 {threshold:.4f} は指定された値です。")


def set_on(gallery: Gallery, threshold: float, overkill: float, *, without_own: bool) -> list[Text]:
    """Say which good pictures set the threshold, and where these are too few; `without_own`: each without its own part."""
    goods, source = len(gallery.goods), f"{gallery.made_of[0].lower()}{gallery.made_of[1:]}"
    en, ja = (", each compared without its own part", "（各画像は自身の部品を除いて比較）") if without_own else ("", "")
    said = [
        Text(
            f"The threshold {threshold:.4f} rejects at most {overkill:.1%} of {goods} good pictures of {source}{en}.",
            f"しきい値 {threshold:.4f} で不良と判定されるのは、{_source(gallery)}の良品画像 {goods} 枚のうち {overkill:.1%} "
            f"以下です{ja}。",
        )
    ]
    if (few := too_few(goods, overkill)) is not None:
        rejected, enough = few
        said.append(
            Text(
                f"{goods} good pictures are too few for an overkill of {overkill:.1%}: a threshold on so few "
                f"rejects {rejected:.1%} of new good parts on average, and far more or fewer in a single case; from {enough} "
                "on it is at most half more than asked on average.",
                f"良品画像 {goods} 枚は、誤判定率 {overkill:.1%} には少なすぎます。これほど少ないと、新しい良品の平均 "
                f"{rejected:.1%} が誤判定になり、個々の場合には大きく増減します。"
                f"{enough} 枚以上あれば、平均で指定の 1.5 倍以内です。",
            )
        )
    return said


def pictures(gallery: Gallery) -> Text:
    """Say with which pictures those that are asked about are compared."""
    count, teacher = len(gallery.labels), gallery.space == "teacher"
    return Text(
        f"{count} pictures are compared with, by the vectors of the {gallery.space}: {gallery.made_of}.",
        f"比較の相手は画像 {count} 枚です（{'教師' if teacher else '生徒'}モデルのベクトル）：{_source(gallery)}。",
    )


def left_out(listed: Listing, broken: Sequence[str] = ()) -> list[Text]:
    """Say which pictures of a labelled folder are compared with none: `broken` ones, and those without a usable path or label."""
    said = []
    if broken:
        said.append(
            Text(
                f"{len(broken)} of the labelled pictures under '{listed.root}' (such as '{broken[0]}') can't be read and are not "
                "compared with; each is told with the reason.",
                f"「{listed.root}」にあるラベル付き画像のうち {len(broken)} 枚（「{broken[0]}」など）は、読めないため、比較の"
                "相手に含まれません。1 枚ずつ理由とともに挙げてあります。",
            )
        )
    if unusable := list(listed.unreadable):
        said.append(
            Text(
                f"{len(unusable)} of the pictures under '{listed.root}' (such as '{unusable[0]}') can't be used, for their names "
                "or links, and are not compared with; give them names in UTF-8, or copy what links lead to.",
                f"「{listed.root}」にある画像のうち {len(unusable)} 枚（「{unusable[0]}」など）は、名前かリンクの問題で使えない"
                "ため、比較の相手に含まれません。名前を UTF-8 にするか、リンク先のファイルを写してください。",
            )
        )
    if unlabelled := [one.uri for one in listed.samples if one.label is None]:
        said.append(
            Text(
                f"{len(unlabelled)} of the pictures under '{listed.root}' (such as '{unlabelled[0]}') have no label and are not "
                "compared with; put them in folders with the labels' names, or name their labels in the manifest.",
                f"「{listed.root}」にある画像のうち {len(unlabelled)} 枚（「{unlabelled[0]}」など）は、ラベルがないため、比較の"
                "相手に含まれません。ラベル名のフォルダに入れるか、マニフェストにラベルを書いてください。",
            )
        )
    return said


def prototypes(summary: Summary, name: str) -> list[Text]:
    """Say with which prototypes pictures are compared, of the summary that was asked for by this name, and what is doubtful."""
    count, estimate = len(summary.labels), summary.estimate
    said = [
        Text(
            f"{count} prototypes are compared with: of summary '{name}'.",
            f"比較の相手は、要約「{name}」の代表例 {count} 個です。",
        )
    ]
    if estimate is not None:
        said.append(
            Text(
                f"The summary '{summary.name}' is {estimate.in_words()}.",
                f"要約「{summary.name}」は、教師モデル「{estimate.teacher}」のベクトルから写像した推定です（{estimate.map}、"
                f"両方のモデルで埋め込んだ画像 {estimate.samples} 枚による）。写像に使わなかった部品では、真のベクトルとの"
                f"コサインは平均 {estimate.cosine:.3f}、5 パーセンタイルで {estimate.cosine_p5:.3f}（ベクトルの平均だけなら "
                f"{estimate.cosine_of_mean:.3f}）、最も近い代表例が変わらない画像は {estimate.same_prototype:.0%}、"
                f"そのラベルが変わらない画像は {estimate.same_label:.0%} です。",
            )
        )
    return said


def unseen(summary: Summary) -> list[Text]:
    """Say where it is not known whether the prototypes were made of the good pictures that set their threshold."""
    if summary.seen:
        return []
    return [
        Text(
            f"The file of the summary '{summary.name}' does not tell which pictures it was made of, so the good pictures that "
            "set the threshold may be among them, and more of new ones are rejected; name the summary itself, or a whole file "
            "of it.",
            f"要約「{summary.name}」のファイルには、どの画像から作られたかが書かれていません。しきい値を決めた良品画像がそこに"
            "含まれていると、新しい良品の誤判定は増えます。要約そのものか、要約全体のファイルを指定してください。",
        )
    ]


def untraced(summary: Summary, ids: Sequence[str]) -> list[Text]:
    """Say that pictures that the prototypes were made of are not in the store, which may have them under other names."""
    if not ids:
        return []
    return [
        Text(
            f"{len(ids)} pictures that the summary '{summary.name}' saw (such as '{ids[0]}') are not in the store; should it "
            "have them under other names, the good pictures that set the threshold may be among them, and more of new ones are "
            "rejected; make it again to be sure.",
            f"要約「{summary.name}」が作られた画像のうち {len(ids)} 枚（「{ids[0]}」など）がストアにありません。別の名前で残って"
            "いて、しきい値を決めた良品画像に含まれていると、新しい良品の誤判定は増えます。確実にするには作り直してください。",
        )
    ]


def members(known: int, asked: int) -> Text:
    """Say how many of the pictures are in the gallery."""
    return Text(
        f"{known} of the {asked} pictures are in the gallery themselves; each was compared without its own part.",
        f"{asked} 枚のうち {known} 枚はギャラリーにもある画像です。いずれも自身の部品を除いて比較しました。",
    )


def _source(gallery: Gallery) -> str:
    """Return what a gallery was made of in Japanese; as it is where it says something else, since a file tells it."""
    found = _MADE_OF.fullmatch(gallery.made_of)
    if found is None:
        return gallery.made_of
    kind, name, version = found.groups()
    return f"{_SOURCES[kind]}「{name}」" + (f"（バージョン {version}）" if version else "")
