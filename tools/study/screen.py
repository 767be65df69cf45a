"""The screen: recipes past own embeddings, on the split of the search: which of them are worth all folds.

    python tools/study/screen.py --tiles DIR [--out study-out] [--jobs 2] [--quick]

All folds of one condition take half an hour or more, so what might help is first trained on one split: with three seeds, the
epochs of the search, and judged as there, by the validation side of fold 0. `screen.json` is written after each seed, and what
stands there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1]), str(HERE.parent / "pilot")]

import quick  # noqa: E402
from cells import WITH_CELLS  # noqa: E402
from conditions import CONDITIONS, FOLDS, SEEDS  # noqa: E402
from data import DATA, FEW_VIEWS, GRID, MAXIMA, STANDARD, Data, Kept, store_of  # noqa: E402
from results import write_json  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: E402
from search import EPOCHS, recipe_settings, validation_aurocs  # noqa: E402
from search import FILE as SEARCH  # noqa: E402

from distill.training.settings import Settings  # noqa: E402
from embedstore.errors import EmbedstoreError, SettingsError  # noqa: E402
from embedstore.pages import Text  # noqa: E402

FILE = "screen.json"
OF = "magnetic-tile"  # the data
_HALF = {"own": 0.5, "class-mean": 0.5}


@dataclass(frozen=True)
class Recipe:
    """What is changed of a condition.

    Attributes:
        of: the condition; all that is not changed is as there.
        beside: the recipe that it is held against; None: that condition as it is.
        says: what is changed, in a few words.
        settings: name -> value; `pretrained`, as in the search, is a share of the epochs.
        longer: times the epochs of the others.
        data: whose store it learns from; its folds are those of the others.
        kept: what that store keeps of the teacher.
    """

    of: str
    says: Text
    settings: Mapping[str, Any] = field(default_factory=dict)
    longer: int = 1
    data: Data = DATA[OF]
    kept: Kept = STANDARD
    beside: str | None = None

    def chosen(self, docs: Path, epochs: int, seed: int, *, folds: int = FOLDS, views: int | None = None) -> Settings:
        """Return its settings.

        Args:
            docs: of the data, where `search.json` is.
            epochs: of the whole training, where it is not longer.
            seed: of the training.
            folds: of which the first is held out, as in the search.
            views: at most so many are replayed.
        """
        base = CONDITIONS[f"{OF}/{self.of}"].chosen(DATA[OF].good, docs, epochs * self.longer)
        changed = dict(self.settings)
        if "pretrained" in changed:
            changed = recipe_settings(changed, epochs * self.longer)
        settings = replace(base, folds=folds, fold=0, seed=seed, **changed)
        return settings if views is None else replace(settings, views=min(settings.views or views, views))


# The first one of each condition is that condition as it is.
RECIPES: dict[str, Recipe] = {
    "own": Recipe("own", Text("own embeddings, as searched", "画像ごとの埋め込み、調整した設定のまま")),
    "own-whole": Recipe(
        "own",
        Text("cross-entropy on whole pictures, alignment on crops", "交差エントロピーは画像全体、整合は切り出しで"),
        {"ce_views": "whole"},
    ),
    "own-adjusted": Recipe("own", Text("logit adjustment 1", "ロジット調整 1"), {"logit_adjustment": 1.0}),
    "own-average": Recipe("own", Text("moving average of the weights, .99", "重みの移動平均 .99"), {"ema": 0.99}),
    "own-retrieved": Recipe(
        "own",
        Text("targets mixed with their nearest neighbours", "目標を最近傍と混ぜる"),
        {"policy": "retrieved"},
    ),
    "own-half-means": Recipe(
        "own",
        Text("own embedding or class mean, drawn evenly", "画像ごとの埋め込みとクラス平均を半々に抽選"),
        {"policy": "mixture", "mixture": {"good": _HALF, "defect": _HALF}},
    ),
    "own-defects": Recipe(
        "own",
        Text("own embeddings for defects, k-means for good parts", "不良は画像ごとの埋め込み、良品は k-means"),
        {"policy": "mixture", "mixture": {"good": {"sub-prototypes": 1.0}, "defect": {"own": 1.0}}},
    ),
    "own-contrastive": Recipe(
        "own",
        Text("contrastive alignment within the batch", "バッチ内の対照損失で整合"),
        {"loss": "contrastive-all"},
    ),
    "own-medium": Recipe("own", Text("a student of 1.8 M parameters", "180 万パラメータの生徒"), {"student": "medium"}),
    "own-long": Recipe(
        "own",
        Text(
            "32 replayed views, 200 epochs of embeddings alone, then 100",
            "ビュー 32 を再現、埋め込みだけで 200 エポック、その後 100 エポック",
        ),
        {"views": 32, "pretrained": 2 / 3},
        longer=10,
    ),
    "own-grid": Recipe(
        "own",
        Text("own embeddings and a coarse grid of the last maps", "画像ごとの埋め込みと、最後の特徴マップの粗い格子"),
        {"options": {"own": {"outputs": "embedding, grid"}}},
        kept=GRID,
    ),
    "own-maxima": Recipe(
        "own",
        Text("own embeddings and the maxima of two earlier stages", "画像ごとの埋め込みと、前の 2 段の最大値"),
        {"options": {"own": {"outputs": "embedding, maxima"}}},
        kept=MAXIMA,
    ),
    "own-third": Recipe(
        "own",
        Text("a third of the epochs on embeddings alone", "エポックの 3 分の 1 を埋め込みだけで"),
        {"pretrained": 1 / 3},
    ),
    "own-third-cells": Recipe(
        "own",
        Text(
            "the same, on unlabelled pictures of solar cells, too, in twice the steps",
            "上と同じで、ラベルなしの太陽電池の画像も使う（ステップ数は 2 倍）",
        ),
        {"pretrained": 1 / 3},
        data=WITH_CELLS,
        kept=FEW_VIEWS,
        beside="own-third",
    ),
}


def main() -> None:
    """Train what is missing, and write down what each recipe reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, help="the folder of the magnetic tiles; needed until the store is built")
    parser.add_argument("--out", type=Path, default=Path("study-out"), help="stores and runs")
    parser.add_argument(
        "--docs", type=Path, help="where search.json is and screen.json goes: docs/study; for --quick in --out"
    )
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="trainings at a time")
    parser.add_argument("--quick", action="store_true", help="as little of each as shows that it runs")
    options = parser.parse_args()
    begun = options.docs or Path("docs/study")
    epochs, seeds, folds, views = EPOCHS, SEEDS, FOLDS, None
    if options.quick:
        options.out /= quick.FOLDER
        epochs, seeds, folds, views = quick.EPOCHS, quick.SEEDS, quick.FOLDS, quick.VIEWS
    docs = options.docs or (options.out if options.quick else begun)
    if not (docs / OF / SEARCH).exists():
        sys.exit(
            f"Error: there is no search in '{docs / OF}' yet, whose recipes are taken; first run tools/study/run.py."
        )
    try:
        screen(
            lambda one: store_of(
                one.data, options.out, options.tiles, begun, quick.quick_kept(one.kept) if options.quick else one.kept
            ),
            options.out / "screen",
            docs / OF,
            jobs=options.jobs,
            epochs=epochs,
            seeds=seeds,
            folds=folds,
            views=views,
        )
    except (EmbedstoreError, OSError, ValueError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. What was finished is kept; the same command goes on from there.")


def screen(
    store: Callable[[Recipe], Path],
    out: Path,
    docs: Path,
    *,
    jobs: int,
    epochs: int = EPOCHS,
    seeds: int = SEEDS,
    folds: int = FOLDS,
    views: int | None = None,
) -> None:
    """Train every recipe with every seed, and write down what each reached.

    Args:
        store: gives the store that a recipe learns from.
        out: directory of the runs.
        docs: directory of `search.json` and `screen.json`.
        jobs: trainings at a time.
        epochs: of each.
        seeds: trainings of each recipe.
        folds: of the search.
        views: at most so many are replayed, where the stores have no more.

    Raises:
        SettingsError: what was written down before is of other epochs.
    """
    path = docs / FILE
    found = json.loads(path.read_text("utf-8")) if path.exists() else {"epochs": epochs, "tried": {}}
    if found["epochs"] != epochs:
        raise SettingsError(
            f"'{path}' is of {found['epochs']} epochs, not of {epochs}; delete it, or write elsewhere: --docs DIR"
        )
    reached: dict[str, list[float]] = {name: told["val_auroc"] for name, told in found["tried"].items()}
    missing = {
        seed: [name for name in RECIPES if len(reached.get(name, ())) <= seed] for seed in range(seeds)
    }  # by seed, so that each file that is written has the same seeds of all recipes
    stores = {
        name: store(RECIPES[name]) for name in dict.fromkeys(name for names in missing.values() for name in names)
    }
    total, done = sum(map(len, missing.values())), 0
    console = Console(highlight=False)
    console.print(f"[bold]Screen[/bold]: {len(RECIPES)} recipes, {seeds} seeds, {epochs} epochs, one split")
    columns = (TextColumn("   {task.description:8}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as shown:
        task = shown.add_task("runs", total=total)
        for seed, names in missing.items():
            places = {name: out / f"{name}-seed{seed}" for name in names}
            areas = validation_aurocs(
                {
                    place: (stores[name], RECIPES[name].chosen(docs, epochs, seed, folds=folds, views=views))
                    for name, place in places.items()
                },
                images=None,  # the stores keep their pictures
                jobs=jobs,
                progress=lambda trained, _, before=done: shown.update(task, completed=before + trained),
            )
            done += len(places)
            for name, place in places.items():
                reached[name] = [*reached.get(name, ()), areas[place]]
            tried = {name: {"of": one.beside or one.of, "val_auroc": reached[name]} for name, one in RECIPES.items()}
            write_json(path, {"epochs": epochs, "tried": tried})


if __name__ == "__main__":
    main()
