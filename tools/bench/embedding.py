"""Throughput of `build` over the bare teacher's forward pass on the same pictures, in one run.

    python tools/bench/embedding.py IMAGES [--teacher efficientnet-lite0] [--views 2] [--pictures 200] [--rounds 3]

The bare pass gets all views as pixels in memory and does nothing but embed them; `build` reads, decodes, cuts, embeds and
writes them, synced. The two alternate, so that a slow spell of the machine hits both; medians are told.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

import embedstore
from embedstore.images import list_images
from embedstore.pictures import read_picture
from embedstore.views import Recipe, draw_view, render


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--teacher", default="efficientnet-lite0")
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    teacher = embedstore.load_teacher(options.teacher)
    recipe = Recipe()
    samples = list_images(options.images).samples[
        :: max(1, len(list_images(options.images).samples) // options.pictures)
    ]
    samples = samples[: options.pictures]
    crops = []
    for sample in samples:
        picture, _ = read_picture(options.images / sample.uri)
        crops += [
            render(picture, draw_view(recipe, sample.id, v), teacher.input_size, recipe.fit)
            for v in range(options.views + 1)
        ]
    pixels = np.stack(crops)
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "m.csv"
        manifest.write_text("path\n" + "\n".join(f'"{sample.uri}"' for sample in samples), "utf-8")
        bare, whole = [], []
        for number in range(options.rounds):
            started = time.perf_counter()
            teacher.embed(pixels)
            bare.append(len(pixels) / (time.perf_counter() - started))
            report = embedstore.build(
                Path(folder) / f"store{number}", options.images, manifest=manifest, teacher=teacher, views=options.views
            )
            whole.append(report.embedded / report.seconds)
    print(f"{len(samples)} pictures x {options.views + 1} views, {options.teacher}, median of {options.rounds} rounds")
    print(f"bare forward pass  {median(bare):6.1f} views/s")
    print(f"build              {median(whole):6.1f} views/s")
    print(f"ratio              {median(w / b for w, b in zip(whole, bare, strict=True)):6.2f}")


if __name__ == "__main__":
    main()
