"""What limits the students, as far as the figures tell: each thing that could, beside what changing it gave."""

from __future__ import annotations

from collections.abc import Iterator

from distill.evaluation.intervals import Difference
from embedstore.pages import Text, Words
from page_parts.answer import DECIDES, store_ways
from page_parts.evidence import GIVEN, MAIN, OWN, PLAIN, PROBE, Compared, Evidence
from page_parts.markdown import Bullets, code, gap_of, share
from page_parts.names import seeds_named

# What was changed -> (condition, what it was before).
_TEACHING: tuple[tuple[Text, tuple[tuple[str, str], ...]], ...] = (
    (Text("More of the teacher", "教師からの情報を増やす"), (("own-two", OWN),)),
    (
        Text("Larger pictures", "画像を大きくする"),
        (
            ("own-160px", OWN),
            ("none-160px", PLAIN),
            ("own-long-160px", "own-long"),
            ("trunk-30-160px", "trunk-30"),
            ("trunk-own-30-160px", "trunk-own-30"),
        ),
    ),
    (
        Text(
            "300 epochs instead of 100, on 32 views (with own embeddings the first 200 on those alone)",
            "100 でなく 300 エポック、ビュー 32（画像ごとの埋め込みでは最初の 200 エポックが埋め込みのみ）",
        ),
        (("own-long", OWN), ("none-long", PLAIN), ("own-long-160px", "own-160px")),
    ),
    (
        Text(
            "The teacher's own first stages to begin with, .7 M parameters",
            "教師の先頭の段（70 万パラメータ）から始める",
        ),
        (("trunk-own-30", OWN),),
    ),
)


def limits(evidence: Evidence) -> Bullets | None:
    """Return what could limit the students; None before any of it is measured."""
    main = evidence.main
    if main is None:
        return None
    found = [*_teacher(main), *_teaching(main), *_unseen_parts(evidence)]
    return Bullets(found) if found else None


def _teacher(main: Compared) -> Iterator[Words]:
    """Yield what the teacher's own probe reaches, and how the students stand to it."""
    if PROBE not in main.figures:
        return
    probe, ways, seeds = main.figures[PROBE], store_ways(main), seeds_named(main.comparison.seeds)
    reached = share(probe.auroc), share(probe.mean_recall), share(probe.macro_mode_recall)
    verdicts = [one.verdict for name in ways if (one := main.difference(name, PROBE, DECIDES)) is not None]
    above, below = verdicts.count("more"), verdicts.count("less")
    yield Text(
        f"The teacher itself: its probe reaches AUROC {reached[0]}, mean recall {reached[1]} and {reached[2]} over the kinds on "
        f"these folds. Of {len(ways)} ways of training and asking a student from random weights, with {seeds.en}, {above} are "
        f"above it over the kinds beyond chance, {below} below.",
        f"教師そのもの：教師自身の線形分類器は、この分割で AUROC {reached[0]}、平均検出率 {reached[1]}、種類の平均 "
        f"{reached[2]} です。乱数の初期値から始める生徒の {len(ways)} 件（{seeds.ja}）のうち、種類の平均で、"
        f"偶然では説明できない差で上回るものは {above}、下回るものは {below} です。",
    )


def _teaching(main: Compared) -> Iterator[Words]:
    """Yield what changing a student's teaching gave, over the kinds; from fewer seeds where it was trained with those."""
    for title, pairs in _TEACHING:
        told = [(name, of, *one) for name, of in pairs if (one := _known(main, name, of)) is not None]
        if told:
            english = "; ".join(f"{code(name)}{few.en} − {code(of)} {gap_of(one).en}" for name, of, one, few in told)
            japanese = "；".join(
                f"{code(name)}{few.ja} − {code(of)} は {gap_of(one).ja}" for name, of, one, few in told
            )
            yield Text(f"{title.en}: over the kinds {english}.", f"{title.ja}：種類の平均で {japanese}。")


def _known(main: Compared, name: str, of: str) -> tuple[Difference, Text] | None:
    """Return a difference, and with how many seeds, where these are fewer than those of others."""
    if (one := main.difference(name, of, DECIDES)) is not None:
        return one, Text("", "")
    for fewer in main.fewer_seeds:
        if (one := fewer.difference(name, of, DECIDES)) is not None:
            few = seeds_named(fewer.comparison.seeds)
            return one, Text(f" ({few.en})", f"（{few.ja}）")
    return None


def _unseen_parts(evidence: Evidence) -> Iterator[Words]:
    """Yield how much better a student does on parts of which it learned another picture."""
    main, given = evidence.data.get(MAIN), evidence.data.get(GIVEN)
    if main is None or given is None or OWN not in main.figures or OWN not in given.figures:
        return
    whole, torn = main.figures[OWN], given.figures[OWN]
    areas = share(torn.auroc), share(whole.auroc)
    kinds = share(torn.macro_mode_recall), share(whole.macro_mode_recall)
    yield Text(
        "Parts that training never saw: with the given groups, where other pictures of a tested part may be learned from, "
        f"{code(OWN)} has AUROC {areas[0]} instead of {areas[1]} and {kinds[0]} instead of {kinds[1]} over the kinds.",
        f"学習で見ていない部品：同じ部品の別の画像が学習側に入りうる付属のグループでは、{code(OWN)} の AUROC は "
        f"{areas[1]} でなく {areas[0]}、種類の平均は {kinds[1]} でなく {kinds[0]} になります。",
    )
