"""The document: the pieces that its templates name, made from the evidence, and its pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from conditions import FOLDS, SEEDS
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from embedstore.pages import Text, percent
from page_parts import curves, rows, tables
from page_parts.advised import advised
from page_parts.answer import answer
from page_parts.bars import bars_table
from page_parts.drawing import Picture
from page_parts.evidence import (
    GIVEN,
    MAIN,
    OVERKILL,
    OWN,
    PATCHES,
    PLAIN,
    PROBE,
    RESAMPLES,
    Compared,
    Evidence,
    strongest_rival,
    trunks,
)
from page_parts.failed import failed
from page_parts.limits import limits
from page_parts.markdown import Bullets, Folded, Piece, Shown, codes, written
from page_parts.misses import missed_by_all, most_missed, shown_of
from page_parts.names import pictures_of, seeds_named
from page_parts.training_free import told

_ALL = Text("All conditions", "すべての条件")
_BY_KIND = Text("Each kind with its interval", "種類ごとの検出率と区間")
_WIDE_LETTER = r"[^\x00-\x7f]"


def render(pieces: dict[str, Any], language: str, pictures: str) -> str:
    """Return the document of one language.

    Args:
        pieces: of `make_pieces`.
        language: `en` or `ja`.
        pictures: the folder of the pictures, as the document names it.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  Markdown of our own figures and names
    )
    text = environment.get_template(f"rare-defects.{language}.md").render(_in(pieces, language, pictures))
    if language == "ja":  # a line's end would be seen as a space between two letters
        text = re.sub(rf"(?<={_WIDE_LETTER})\n *(?={_WIDE_LETTER})", "", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _in(piece: Any, language: str, pictures: str) -> Any:
    """Write every piece inside; a dictionary and its lists are the template's own to take apart."""
    if isinstance(piece, dict):
        return {key: _in(one, language, pictures) for key, one in piece.items()}
    if isinstance(piece, list) and piece and all(isinstance(one, dict) for one in piece):
        return [_in(one, language, pictures) for one in piece]
    return piece if isinstance(piece, int) else written(piece, language, pictures)


def make_pieces(evidence: Evidence, pictures: dict[str, Picture]) -> dict[str, Any]:
    """Return what the templates name; empty where it is not known yet."""
    main = evidence.main
    return {
        "answer": answer(evidence),
        "folds": FOLDS if main is None else main.comparison.folds,
        "seeds": SEEDS if main is None else main.comparison.seeds,
        "overkill": percent(OVERKILL),
        "resamples": f"{RESAMPLES:,}",
        "counts": None,
        "planned": Folded(_ALL, tables.planned(evidence)),
        "recipes_tried": None if evidence.search is None else tables.recipes_tried(evidence.search),
        "search_epochs": 0 if evidence.search is None else int(evidence.search["epochs"]),
        "screened": None if evidence.screen is None else tables.screened(evidence.screen),
        "screen_epochs": 0 if evidence.screen is None else int(evidence.screen["epochs"]),
        "screen_seeds": 0 if evidence.screen is None else tables.screened_seeds(evidence.screen),
        "trained_again": tables.trained_again(evidence.search, evidence.screen),
        "fewer_folds": [],
        "fewer_seeds": [],
        "fewer_patched": [],
        **dict.fromkeys(_OF_MAIN),
        **({} if main is None else _of_main(main, pictures)),
        "prototypes": None if evidence.prototypes is None else told(evidence.prototypes),
        "untrained": _shown(pictures, "training-free"),
        "limits": limits(evidence),
        "leaking": _leaking(evidence),
        "others": [_other(evidence, data) for data in evidence.all_data if data not in (MAIN, GIVEN)],
        "advised": advised(evidence.advice) if evidence.advice else None,
        "failed": None if main is None else Bullets(failed(evidence, main)),
        "trainings": tables.trainings(evidence),
        "waiting": {
            "baselines": _waiting(evidence, MAIN, "teacher", "baselines"),
            "summaries": _waiting(evidence, MAIN, "summaries"),
            "recipes": _waiting(evidence, MAIN, "recipes"),
            "patches": _waiting(evidence, MAIN, PATCHES),
            "given": _waiting(evidence, GIVEN),
        },
    }


_OF_MAIN = (
    "baselines", "baseline_differences", "gains", "bytes", "by_bytes", "recipes", "recipe_differences", "bars", "kinds",
    "by_kind", "missed_by_all", "most_missed", "patches", "beside_heads",
)  # fmt: skip


def _of_main(main: Compared, pictures: dict[str, Picture]) -> dict[str, Any]:
    baselines = main.of_part("teacher", "baselines")
    rivals = [name for name in main.figures if name in (PLAIN, OWN, PROBE, *trunks(main))]
    tried = main.of_part("recipes")
    recipes = [name for name in main.figures if name in (*tried, *rivals)] if tried else []
    kept, watched, patched = main.of_known_bytes(), shown_of(main), main.of_part(PATCHES)
    found = main.comparison
    return {
        "counts": {
            "pictures": f"{found.pictures:,}",
            "parts": found.parts,
            "defects": sum(kind.pictures for kind in found.policies[0].by_mode),
            "kinds": len(found.policies[0].by_mode),
            "looks": found.looks,
            "validation_good": found.validation_good or 0,
        },
        "baselines": tables.figures(main, baselines) if baselines else None,
        "baseline_differences": [tables.differences(main, baselines, one) for one in (PLAIN, OWN) if one in rivals],
        "gains": _shown(pictures, "gains"),
        "fewer_folds": [found for fewer in main.fewer if not fewer.whole for found in _of_fewer(fewer, fewer.figures)],
        "fewer_seeds": [
            found
            for fewer in main.fewer_seeds
            for found in _of_fewer(fewer, [name for name in fewer.figures if name not in fewer.of_part(PATCHES)])
        ],
        "fewer_patched": [found for fewer in main.fewer_seeds for found in _of_fewer(fewer, fewer.of_part(PATCHES))],
        "bytes": _shown(pictures, "bytes"),
        "by_bytes": tables.by_bytes(main, kept) if kept else None,
        "recipes": tables.figures(main, recipes) if recipes else None,
        "recipe_differences": [
            tables.differences(main, recipes, one) for one in (OWN, PROBE, strongest_rival(main)) if one in recipes
        ],
        "bars": bars_table(main),
        "patches": tables.figures(main, patched) if patched else None,
        "beside_heads": tables.beside_heads(main, patched) if patched else None,
        "kinds": _shown(pictures, "kinds"),
        "by_kind": Folded(_BY_KIND, tables.by_kind(main, list(main.figures))),
        "missed_by_all": missed_by_all(main, watched) if len(watched) > 1 else None,
        "most_missed": most_missed(main, watched),
    }


def _of_fewer(fewer: Compared, names: Iterable[str]) -> list[dict[str, Any]]:
    """Return what to tell of some conditions that have fewer runs, and of those beside them; nothing if none has fewer."""
    shown = list(names)
    here = [name for name in shown if name not in fewer.borrowed]
    told = {
        "names": codes(here),
        "folds": fewer.comparison.folds,
        "seeds": seeds_named(fewer.comparison.seeds),
        "single": len(next(iter(fewer.finished.values())).runs) == 1,
        "figures": tables.figures(fewer, shown),
        "differences": tables.held_against(fewer, shown),
    }
    return [told] if here else []


def _leaking(evidence: Evidence) -> Piece:
    given = evidence.data.get(GIVEN)
    by_kind = None if given is None else Folded(_BY_KIND, tables.by_kind(given, list(given.figures)))
    return [tables.leaking(evidence), by_kind]


_TITLES = {
    "magnetic-tile-thinned": Text("A tail made by thinning", "意図的に減らした希少な不良"),
    "magnetic-tile-six": Text("Six labels", "6 ラベル"),
}


def _other(evidence: Evidence, data: str) -> dict[str, Any]:
    """Return the section of a further set of pictures."""
    compared = evidence.data.get(data)
    section: dict[str, Any] = {"title": _TITLES.get(data, Text(data, data)), "waiting": _waiting(evidence, data)}
    if compared is None:
        return section | dict.fromkeys(("says", "seeds", "figures", "differences", "by_kind"))
    names = list(compared.figures)
    seeds = compared.comparison.seeds
    return section | {
        "says": pictures_of(data, next(iter(compared.finished.values())).about["data"]),
        "seeds": 0 if seeds == SEEDS else seeds,
        "figures": tables.figures(compared, names),
        "differences": [
            tables.differences(compared, names, one) for one in (PLAIN, OWN) if one in names and len(names) > 1
        ],
        "by_kind": Folded(_BY_KIND, tables.by_kind(compared, names)),
    }


def make_pictures(evidence: Evidence) -> dict[str, Picture]:
    """Return the pictures that can be drawn, by name."""
    main, found = evidence.main, list[Picture | None]()
    if main is not None:
        found += [
            rows.gains(main, main.of_part("teacher", "baselines", "recipes")),
            rows.kinds(main, main.of_part("teacher", "baselines", "recipes")),
            curves.trained(main, main.of_known_bytes()),
        ]
    if evidence.prototypes is not None:
        found.append(curves.untrained(evidence.prototypes))
    return {one.name: one for one in found if one is not None}


def _shown(pictures: dict[str, Picture], name: str) -> Shown | None:
    return Shown(name, pictures[name].says) if name in pictures else None


def _waiting(evidence: Evidence, data: str, *parts: str) -> Piece:
    """Say which conditions a part waits for."""
    missing: Sequence[str] = evidence.missing(data, *parts)
    named = codes(missing)
    return Text(f"*Still to be trained: {named.en}.*", f"*未学習：{named.ja}*") if missing else None
