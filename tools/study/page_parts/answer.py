"""The answer in a few bullets, made from the figures and saying no more than they do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from distill.evaluation.intervals import Difference
from embedstore.pages import Text, percent
from page_parts.evidence import (
    MAIN,
    OWN,
    PATCHES,
    PLAIN,
    PROBE,
    TRUNK,
    Compared,
    Evidence,
    is_plain,
    is_student,
    strongest_rival,
    trunks,
)
from page_parts.markdown import Bullets, Piece, between, code, codes, share, size
from page_parts.names import seeds_named

DECIDES = "macro_mode_recall"
LOSS = 0.02  # of AUROC against own, that a summary may cost
QUARTER = 0.25


def answer(evidence: Evidence) -> Piece:
    """Say which way catches most rare defects, how sure that is, and in how few bytes it can be had."""
    main = evidence.main
    if main is None or not (ways := store_ways(main)):
        return Text(
            "**Nothing is known yet:** no way of training from the store is finished.",
            "**まだ結果はありません。** ストアを使う学習はまだ 1 つも終わっていません。",
        )
    done, all_of = len(evidence.planned.keys() & evidence.finished.keys()), len(evidence.planned)
    still = Text(
        f"*{done} of {all_of} planned conditions are finished; what is missing may change this.*",
        f"*予定した {all_of} 条件のうち {done} 条件が終わった時点の結果で、今後変わることがあります。*",
    )
    found = [
        *(_most(main, ways), _sure(main, ways[0])),
        *_from_stages(main),
        *_with_fewer_seeds(evidence, patched=False),
        *_beside_patches(main, ways),
        *_with_fewer_seeds(evidence, patched=True),
        _small(main),
    ]
    return [Bullets(found), *([still] if done < all_of else [])]


def store_ways(main: Compared) -> list[str]:
    """Return the conditions that train the project's own student, with the store or without, best first."""
    return [name for name in main.figures if is_student(main.finished[name])]


def cheapest(main: Compared) -> str | None:
    """Return the summary of fewest bytes whose AUROC is, by the whole interval, less than `LOSS` below own's.

    Each is held against own embeddings on pictures as large.
    """
    kept = main.nbytes(OWN)
    small = [
        (nbytes, name)
        for name in store_ways(main)
        if (nbytes := main.nbytes(name)) is not None and kept is not None and nbytes < kept
        if (one := main.difference(name, main.as_trained(OWN, name), "auroc")) is not None
        and one.low is not None
        and one.low > -LOSS
    ]
    return min(small)[1] if small else None


def best_within(main: Compared, share_of_own: float) -> str | None:
    """Return the condition of the highest macro-mode recall whose bytes are at most a share of own's."""
    kept = main.nbytes(OWN)
    fitting = [
        name
        for name in store_ways(main)
        if (nbytes := main.nbytes(name)) is not None and kept is not None and nbytes <= share_of_own * kept
    ]
    return fitting[0] if fitting else None


def _most(main: Compared, ways: list[str]) -> Text:
    name = ways[0]
    ours, nbytes = main.figures[name], main.nbytes(name)
    worst = ours.by_mode[0]
    span = between(worst.low, worst.high, 2)
    kept = Text("", "")
    if nbytes is not None:
        kept = Text(f", from {size(nbytes)} of what the teacher saw", f"（教師から残した情報は {size(nbytes)}）")
    many, seeds = len(ways), seeds_named(main.comparison.seeds)
    return Text(
        f"Of the {many} ways of training and asking a student from random weights that are finished with {seeds.en}, "
        f"**{code(name)} catches most rare defects**: "
        f"{share(ours.macro_mode_recall, 2)} of each kind on average, where 5 % of the good parts may be rejected, and "
        f"{share(worst.recall, 2)} of its worst kind, {worst.name} (95 % interval {span.en}){kept.en}.",
        f"乱数の初期値から始める生徒の学習方法と判定方法の組み合わせで、{seeds.ja}の学習が終わった {many} 件のうち、"
        f"**まれな不良を最も多く検出したのは {code(name)}** です。"
        "良品の 5 % までの"
        f"誤判定を許すとき、検出率は不良の種類の平均で {share(ours.macro_mode_recall, 2)}、最も苦手な {worst.name} で "
        f"{share(worst.recall, 2)}（95 % 区間 {span.ja}）でした{kept.ja}。",
    )


def _sure(main: Compared, name: str) -> Text:
    before, trunk = main.as_trained(PLAIN, name), strongest_rival(main)
    plain = main.difference(name, before, DECIDES)
    rival = None if trunk is None else main.difference(name, trunk, DECIDES)
    if is_plain(main.finished[name]):
        first = Text(
            "That is plain training, so no way that learns from the store is above it here",
            "これは通常の学習そのもので、ここではストアから学ぶどの方法もこれを上回りません",
        )
    elif plain is None:
        first = Text(
            f"Plain training as long and on pictures as large ({code(before)}) is not finished",
            f"同じ長さ、同じ大きさの画像での通常の学習（{code(before)}）はまだ終わっていません",
        )
    else:
        first = Text(
            f"Against plain training of the same student that is {_said(plain).en}",
            f"通常の学習（同じ生徒）との差は {_said(plain).ja}",
        )
    if trunk is None or rival is None:
        second = Text(
            f"; the strong rival, the teacher's own first stages fine-tuned without a store ({code(TRUNK)}), is not finished.",
            f"。強力な比較対象である {code(TRUNK)}（教師の先頭の段をストアなしで微調整）の結果はまだありません。",
        )
    else:
        side = main.side(trunk)
        seen = Text("", "") if side == main.side(name) else Text(f", {side} pixels", f"、{side} 画素")
        second = Text(
            f"; against the strong rival, the teacher's own first stages fine-tuned without a store ({code(trunk)}{seen.en}), "
            f"{_said(rival).en}.",
            f"、強力な比較対象である {code(trunk)}（教師の先頭の段をストアなしで微調整{seen.ja}）との差は "
            f"{_said(rival).ja}です。",
        )
    return Text(first.en + second.en, first.ja + second.ja)


def _with_fewer_seeds(evidence: Evidence, *, patched: bool) -> Iterator[Text]:
    """Say of what has fewer seeds what the best student reaches, the strong rival and its stages with the store, or patches."""
    main = evidence.main
    for fewer in [] if main is None else main.fewer_seeds:
        new = [name for name in fewer.figures if name not in fewer.borrowed]
        students = [name for name in store_ways(fewer) if name in new]
        begun = [name for name in trunks(fewer) if name in new]
        rivals = [name for name in begun if is_plain(fewer.finished[name])]
        taught = [name for name in begun if name not in rivals]
        asked = [name for name in fewer.of_part(PATCHES) if name in new]
        for names in (asked,) if patched else (students, rivals, taught):
            for name in names[:1]:
                yield _of_fewer_seeds(evidence, fewer, name, len(names))


def _of_fewer_seeds(evidence: Evidence, fewer: Compared, name: str, of: int) -> Text:
    """Say what a condition of fewer seeds reaches, the best of as many, and by how much it differs from its rivals."""
    few, ours, side = seeds_named(fewer.comparison.seeds), fewer.figures[name], fewer.side(name)
    called = Text(f", the best of {of}," if of > 1 else "", f"（{of} 件の中で最良）" if of > 1 else " ")
    if name in trunks(fewer):
        called = (
            Text(f", the strong rival on pictures of {side} pixels,", f"（{side} 画素での強力な比較対象）")
            if is_plain(fewer.finished[name])
            else Text(
                f", the rival's stages with the store's embeddings on pictures of {side} pixels,",
                f"（比較対象と同じ段から始め、ストアで学習、{side} 画素）",
            )
        )
    rivals = {
        rival: one
        for rival in fewer.rivals_of(name)
        if rival != PROBE and (one := fewer.difference(name, rival, DECIDES)) is not None
    }
    held = [
        Text(
            f"{_said(one, sure=False).en} against {code(rival)}", f"{code(rival)} との差は {_said(one, sure=False).ja}"
        )
        for rival, one in rivals.items()
    ]
    layers = _other_precision(evidence, name, rivals)
    missing, plain = Text("", ""), fewer.as_trained(PLAIN, name)
    if name in store_ways(fewer) and plain not in fewer.figures:
        planned = f"{MAIN}/{plain}" in evidence.planned
        missing = Text(
            f" Plain training as long on pictures as large {'is not finished' if planned else 'was not trained'}.",
            f"同じ長さ、同じ大きさの画像での通常の学習は{'未完了です' if planned else '行っていません'}。",
        )
    reached, worst, lost = share(ours.macro_mode_recall, 2), ours.by_mode[0], percent(ours.overkill, 1)
    seen = share(worst.recall, 2)
    return Text(
        f"With {few.en} (its rivals on the same): {code(name)}{called.en} reaches {reached} of each kind on average, and {seen} "
        f"of its worst kind, {worst.name}, with {lost} of the good parts rejected{''.join(f'; {one.en}' for one in held)}."
        f"{layers.en}{missing.en}",
        f"{few.ja}だけで学習したもの（比較相手も同じ乱数の値）：{code(name)}{called.ja}は、種類の平均で {reached}、"
        f"最も苦手な {worst.name} で {seen} です（実際の誤判定率 {lost}）。{'、'.join(one.ja for one in held)}"
        f"{'です。' if held else ''}{layers.ja}{missing.ja}",
    )


def _other_precision(evidence: Evidence, name: str, rivals: Iterable[str]) -> Text:
    """Say where what a condition is held against was trained in another precision; it could be a part of the difference."""
    own = evidence.precision(name)
    others = [rival for rival in rivals if evidence.precision(rival) not in (own, None)]
    if own is None or not others:
        return Text("", "")
    beside = evidence.precision(others[0])
    return Text(
        f" Its layers were trained in {own}, those of {codes(others).en} in {beside}.",
        f"学習の精度は {own} で、{codes(others).ja} は {beside} です。",
    )


def _from_stages(main: Compared) -> list[Text]:
    """Say what a student that begins with the teacher's own stages makes of the store, where one was trained with it."""
    taught = next((name for name in trunks(main) if not is_plain(main.finished[name])), None)
    rival = None if taught is None else strongest_rival(main, taught)
    if rival is None or taught is None or (gained := main.difference(taught, rival, DECIDES)) is None:
        return []
    reached, worst = share(main.figures[taught].macro_mode_recall, 2), main.figures[taught].by_mode[0]
    caught, side = share(worst.recall, 2), main.side(taught)
    seen = Text("", "") if side is None else Text(f", {side} pixels", f"、{side} 画素")
    return [
        Text(
            f"A student that begins with these stages and learns from the store ({code(taught)}{seen.en}) reaches "
            f"{reached}, and {caught} of its worst kind, {worst.name}; the store's part in that is {_said(gained).en}.",
            f"教師の先頭の段から始めてストアで学習した生徒（{code(taught)}{seen.ja}）は {reached}、最も苦手な "
            f"{worst.name} で {caught} に達します。そのうちストアによる差は {_said(gained).ja}です。",
        )
    ]


def _beside_patches(main: Compared, ways: list[str]) -> list[Text]:
    """Say what patches of good parts add to the student that finds most beside them, and to the rival's stages."""
    heads = {name: head for name in main.of_part(PATCHES) if (head := main.finished[name].about["of"])}
    name = next((one for one, head in heads.items() if head in ways), None)
    gained = None if name is None else main.difference(name, heads[name], DECIDES)
    if name is None or gained is None:
        return []
    reached, worst = main.figures[name].macro_mode_recall, main.figures[name].by_mode[0]
    head, found, seen = code(heads[name]), share(reached, 2), share(worst.recall, 2)
    rivals = [one for one in heads if heads[one] in trunks(main) and is_plain(main.finished[heads[one]])]
    held = [
        Text(f"{_said(difference).en} against {against.en}", f"{against.ja}との差は {_said(difference).ja}")
        for difference, against in (
            (gained, Text("the head alone", "ヘッドのみ")),
            (main.difference(name, PATCHES, DECIDES), Text("patches alone", "パッチ照合のみ")),
            *(
                (
                    main.difference(name, one, DECIDES),
                    Text(
                        f"{code(heads[one])} with patches{_pixels(main, heads[one], heads[name]).en}",
                        f"パッチ照合を併用した {code(heads[one])}{_pixels(main, heads[one], heads[name]).ja}",
                    ),
                )
                for one in rivals[:1]
            ),
        )
        if difference is not None
    ]
    return [
        Text(
            f"With patches of good parts asked beside the head (`--answer patches`), for which the terminal runs the teacher's "
            f"first stages, too, {head} reaches {found}, and {seen} of its worst kind, {worst.name}: "
            f"{'; '.join(one.en for one in held)}. How patches are looked at was chosen by hand after looks at these folds.",
            f"端末で教師の先頭の段も動かし、良品のパッチとの照合をヘッドの判定に併用すると（`--answer patches`）、{head} は "
            f"{found}、最も苦手な {worst.name} で {seen} に達します。{'、'.join(one.ja for one in held)}です。"
            "照合の方法は、これらの分割の結果も見ながら手作業で決めました。",
        )
    ]


def _pixels(main: Compared, name: str, beside: str) -> Text:
    """Return how large the pictures of a condition were, where another saw larger or smaller ones."""
    side = main.side(name)
    return Text("", "") if side == main.side(beside) else Text(f" ({side} pixels)", f"（{side} 画素）")


def _said(one: Difference, *, sure: bool = True) -> Text:
    """Return a difference with its interval, and whether chance explains it; if that is not sure, only where zero is."""
    if one.low is None or one.high is None:
        return Text(share(one.value, 2, signed=True), share(one.value, 2, signed=True))
    beyond, within = Text("beyond chance", "偶然では説明できない差"), Text("which chance can explain", "偶然の範囲内")
    if not sure:
        beyond, within = Text("excludes zero", "区間は 0 を含まない"), Text("includes zero", "区間は 0 を含む")
    verdict = beyond if one.verdict in ("more", "less") else within
    # A third digit where a bound would be told as zero, which of two sides it lies on being what counts.
    digits = 3 if any(bound and abs(bound) < 0.005 for bound in (one.low, one.high)) else 2
    value, low, high = (share(number, digits, signed=True) for number in (one.value, one.low, one.high))
    return Text(f"{value} ({low} to {high}, {verdict.en})", f"{value}（{low}～{high}、{verdict.ja}）")


def _small(main: Compared) -> Text:
    cheap, best = cheapest(main), best_within(main, QUARTER)
    of = OWN if best is None else main.as_trained(OWN, best)
    held = None if best is None else main.difference(best, of, DECIDES)
    if best is None or held is None:
        return Text(
            "In how few bytes this can be had is not known yet.", "どこまで小さく圧縮できるかは、まだ分かっていません。"
        )
    first = Text(
        f"Within a quarter of {code(OWN)}'s bytes {code(best)} ({size(main.nbytes(best))}) catches most, {_said(held).en} "
        f"against {code(of)}; ",
        f"{code(OWN)} の 4 分の 1 以下の容量では {code(best)}（{size(main.nbytes(best))}）が最も多く検出し、{code(of)} との差は "
        f"{_said(held).ja}です。",
    )
    if cheap is None:
        second = Text(
            f"of no summary the whole 95 % interval stays above -{share(LOSS, 2)} AUROC.",
            f"AUROC の差の 95 % 区間全体が -{share(LOSS, 2)} より上にある小さな要約は、まだありません。",
        )
    else:
        second = Text(
            f"the smallest whose whole 95 % interval stays above -{share(LOSS, 2)} AUROC is {code(cheap)} "
            f"({size(main.nbytes(cheap))}).",
            f"AUROC の差の 95 % 区間全体が -{share(LOSS, 2)} より上にある最小の要約は {code(cheap)}"
            f"（{size(main.nbytes(cheap))}）です。",
        )
    return Text(first.en + second.en, first.ja + second.ja)
