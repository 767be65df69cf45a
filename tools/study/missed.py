"""A page of the pictures that students missed most often, and of the good parts that they rejected most often.

    python tools/study/missed.py --tiles DIR [--data magnetic-tile] [--only NAME ...] [--out study-out/missed.html]

DIR holds the pictures. They are data and no part of the project, so the page is made where they are and is not kept. What counts
is the share of trainings that judge a held-out picture wrongly, each at its fold's cross-fitted threshold for 5 % overkill.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from markupsafe import Markup  # noqa: E402
from page_parts.evidence import MAIN, OVERKILL, RESAMPLES, Compared, Evidence  # noqa: E402
from page_parts.markdown import with_interval  # noqa: E402
from page_parts.misses import MOST, Judged, judged, shown_of  # noqa: E402
from page_parts.names import described, pictures_of  # noqa: E402

from distill.evaluation.comparison import RecallFigures  # noqa: E402
from embedstore.errors import EmbedstoreError, SettingsError  # noqa: E402
from embedstore.pages import Picture, Text, percent, picture_row, render_page, section  # noqa: E402


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, required=True, help="the folder of the pictures")
    parser.add_argument("--docs", type=Path, default=Path("docs/study"), help="the folder of the JSON")
    parser.add_argument("--data", default=MAIN, help="which set of pictures")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="conditions; else the best and what it is held against"
    )
    parser.add_argument("--count", type=int, default=12, help="pictures of each kind")
    parser.add_argument("--out", type=Path, default=Path("study-out/missed.html"))
    options = parser.parse_args()
    try:
        html = page(options.docs, options.tiles, options.data, options.only, options.count)
    except (EmbedstoreError, ValueError) as error:
        sys.exit(f"Error: {error}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(html, "utf-8", newline="\n")
    sys.stdout.write(f"Wrote {options.out}\n")


def page(docs: Path, tiles: Path, data: str, only: list[str] | None, count: int) -> str:
    """Return the page.

    Args:
        docs: the folder of the JSON.
        tiles: the folder of the pictures.
        data: the name of the set of pictures.
        only: names of conditions; None for the best and what it is held against.
        count: pictures of each kind.

    Raises:
        SettingsError: the folder is missing, or nothing is finished of what is asked for.
    """
    if not tiles.is_dir():
        raise SettingsError(f"'{tiles}' is no folder; tell where the pictures are: --tiles DIR")
    compared = Evidence(docs, resamples=1).data.get(data)  # what is chosen hangs on no interval
    if compared is None:
        raise SettingsError(f"Nothing of '{data}' is finished in '{docs}'; train it with: make study TILES={tiles}")
    names = only or shown_of(compared)
    if unknown := [name for name in names if name not in compared.finished]:
        raise SettingsError(
            f"'{unknown[0]}' is not finished on all folds of '{data}'; choose of {', '.join(sorted(compared.finished))}."
        )
    shown = Compared({name: compared.finished[name] for name in names}, RESAMPLES)
    found, looks = judged(shown.finished), shown.comparison.looks
    return render_page(
        Text("What was missed", "見逃した画像"),
        [_condition(shown, name, found[name], tiles, count) for name in names],
        kicker=pictures_of(data, shown.finished[names[0]].about["data"]),
        lead=Text(
            "The pictures that most trainings judged wrongly, the worst kind first. Each picture was held out by "
            f"{looks} trainings; thresholds are for {percent(OVERKILL)} overkill.",
            "多くの学習が間違えた画像を、最も苦手な種類から順に並べました。1 枚の画像は、それを学習に使っていない "
            f"{looks} 回の学習が判定します。しきい値は誤判定 {percent(OVERKILL)} を狙ったものです。",
        ),
    )


def _condition(compared: Compared, name: str, found: list[Judged], tiles: Path, count: int) -> Markup:
    """Return the section of a condition: a row for each kind, the worst first, then the rejected good parts."""
    figures, says = compared.figures[name], described(name, compared.finished[name].about["says"])
    parts: list[Markup] = [
        picture_row(_missed(kind, found), _pictures([one for one in found if one.kind == kind.name], tiles, count))
        for kind in figures.by_mode
    ]
    good = [one for one in found if one.kind is None]
    often = sum(one.wrong > MOST for one in good)
    title = Text(
        f"Good parts that are rejected: {often} of {len(good)} by most trainings; {percent(figures.overkill, 1)} on average",
        f"不良とされた良品：過半数の学習で {len(good)} 枚中 {often} 枚、平均 {percent(figures.overkill, 1)}",
    )
    parts.append(picture_row(title, _pictures(good, tiles, count)))
    return section(Text(f"{name}: {says.en}", f"{name}：{says.ja}"), *parts)


def _missed(kind: RecallFigures, found: list[Judged]) -> Text:
    often = sum(one.kind == kind.name and one.wrong > MOST for one in found)
    recall = with_interval(kind.recall, kind.low, kind.high)
    return Text(
        f"{kind.name}: {often} of {kind.pictures} missed by most trainings; recall {recall.en}",
        f"{kind.name}：過半数の学習が {kind.pictures} 枚中 {often} 枚を見逃し。検出率 {recall.ja}",
    )


def _pictures(found: list[Judged], tiles: Path, count: int) -> list[Picture]:
    return [
        Picture(one.id, tiles / one.id, Text(f"wrong in {percent(one.wrong)}", f"{percent(one.wrong)} の学習が誤り"))
        for one in found[:count]
        if one.wrong > 0
    ]


if __name__ == "__main__":
    main()
