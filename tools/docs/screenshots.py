"""Makes the screenshots of the live page that the README shows: python tools/docs/screenshots.py [DIRECTORY].

Draws turned rings with planted defects, builds a store of them with EfficientNet-Lite0 (of the extra `pilot`), serves it, and
looks at it with Chromium, which must be on the PATH. Nothing in the pictures was photographed; two to three minutes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]

from browser import Page, driven  # noqa: E402

import embedstore  # noqa: E402
from embedstore_inspector.serving import listen, running  # noqa: E402

KINDS = {"good": 170, "scratch": 34, "dent": 26, "burr": 16, "stain": 5}
WIDE, HIGH = 640, 480
MISLABELLED = {("dent", 5), ("burr", 3), ("scratch", 11)}  # called good, so that there is something to suggest
MOST_BYTES = 100_000


def ring(rng: np.random.Generator) -> Image.Image:
    """Return a turned ring on a dark belt, lit from a side."""
    y, x = np.mgrid[:HIGH, :WIDE].astype(np.float32)
    middle = np.array([WIDE / 2, HIGH / 2]) + rng.normal(0, 3, 2)
    away, angle = np.hypot(x - middle[0], y - middle[1]), np.arctan2(y - middle[1], x - middle[0])
    belt = 34 + rng.normal(0, 2.5, (HIGH, WIDE)) + 5 * np.sin(x / 5)
    turned = 6 * np.sin(away * rng.uniform(1.1, 1.5)) + 3 * np.sin(away * 0.37)
    light = rng.uniform(134, 150) + rng.uniform(34, 42) * np.cos(2 * (angle - rng.uniform(-0.25, 0.25)))
    edge = 34 * np.exp(-(((away - 200) / 5) ** 2)) - 30 * np.exp(-(((away - 84) / 6) ** 2))
    metal = light + turned + edge + rng.normal(0, 3, (HIGH, WIDE))
    inside = np.clip((away - 80) / 2, 0, 1) * np.clip((204 - away) / 2, 0, 1)
    shadow = 1 - 0.5 * np.exp(-(((away - 208) / 10) ** 2)) * (np.cos(angle - 1) > 0)
    return Image.fromarray(np.clip(belt * shadow * (1 - inside) + metal * inside, 0, 255).astype(np.uint8))


def spoil(part: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """Return the ring with a defect drawn on it."""
    layer = Image.new("L", part.size, 0)
    draw = ImageDraw.Draw(layer)
    angle = rng.uniform(0, 2 * np.pi)
    at = np.array([WIDE / 2, HIGH / 2]) + rng.uniform(115, 170) * np.array([np.cos(angle), np.sin(angle)])
    if kind == "scratch":
        turn = angle + rng.uniform(0.6, 2.4)
        steps = np.linspace(-1, 1, 9)[:, None] * rng.uniform(35, 70) * np.array([np.cos(turn), np.sin(turn)])
        draw.line([tuple(one) for one in at + steps + rng.normal(0, 1.6, steps.shape)], fill=235, width=3)
        return ImageChops.lighter(part, Image.composite(layer, part, layer.filter(ImageFilter.GaussianBlur(0.8))))
    if kind == "dent":
        size = rng.uniform(11, 20)
        draw.ellipse([*(at - size), *(at + size * np.array([1.2, 0.9]))], fill=215)
        soft = layer.filter(ImageFilter.GaussianBlur(3))
        return Image.composite(Image.new("L", part.size, 42), part, soft)
    if kind == "burr":
        rim = np.array([WIDE / 2, HIGH / 2]) + 206 * np.array([np.cos(angle), np.sin(angle)])
        for _ in range(7):
            spot, size = rim + rng.normal(0, 9, 2), rng.uniform(4, 10)
            draw.ellipse([*(spot - size), *(spot + size)], fill=225)
        return Image.composite(Image.new("L", part.size, 190), part, layer.filter(ImageFilter.GaussianBlur(1.2)))
    for _ in range(16):
        spot, size = at + rng.normal(0, 24, 2), rng.uniform(12, 34)
        draw.ellipse([*(spot - size), *(spot + size)], fill=150)
    return Image.composite(Image.new("L", part.size, 20), part, layer.filter(ImageFilter.GaussianBlur(7)))


def draw_line(folder: Path) -> None:
    """Write the pictures and their manifest; of the good ones, one is too dark and one is not in focus, and some are none."""
    rng = np.random.default_rng(7)
    rows = ["path,label,mode,group,shift"]
    for kind, count in KINDS.items():
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            picture = ring(rng) if kind == "good" else spoil(ring(rng), kind, rng)
            if (kind, number) == ("good", 21):  # the lamp failed
                picture = picture.point(lambda level: level // 7)
            if (kind, number) == ("good", 64):  # not in focus
                picture = picture.filter(ImageFilter.GaussianBlur(11))
            name = f"{kind}/ring-{number:03d}.jpg"
            picture.resize((320, 240), Image.Resampling.LANCZOS).save(folder / name, quality=88)
            label = "good" if kind == "good" or (kind, number) in MISLABELLED else "defect"
            rows.append(f"{name},{label},{kind},{kind}-{number},{['day', 'night'][number % 2]}")
    (folder / "rings.csv").write_text("\n".join(rows), "utf-8")


def look(page: Page, address: str, language: str, directory: Path) -> None:
    """Write the page's views in one language."""
    ending = "" if language == "en" else f".{language}"

    def shot(name: str) -> None:
        page.value("new Promise(done => setTimeout(done, 400))")  # what has come into sight is asked for
        page.until("[...document.images].every(one => one.complete || one.loading === 'lazy' || !one.src)")
        page.value("new Promise(done => setTimeout(done, 600))")
        path = directory / f"live-page-{name}{ending}.webp"
        page.screenshot(path, form="webp", quality=82)
        if path.stat().st_size > MOST_BYTES:
            raise SystemExit(
                f"'{path}' has {path.stat().st_size:,} bytes, more than {MOST_BYTES:,}; lower its quality."
            )

    page.open("about:blank")
    page.open(address, width=1280, height=800)
    page.until("performance.getEntriesByName('all-known').length", 120)
    page.value(f"document.querySelector('#language-{language}').click()")
    choose = (
        "(list => {{ list.value = '{}'; list.dispatchEvent(new Event('change')); }})(document.querySelector('#colour'))"
    )
    page.value(choose.format("mode"))
    shot("map")
    page.until("document.querySelectorAll('.cell img').length > 3")
    for place, key in ((1, "d"), (2, "d"), (4, "r")):
        page.value(f"document.querySelector('.cell:nth-child({place})').click()")
        page.until(
            f"!!document.querySelector('.cell:nth-child({place}).current') && !document.querySelector('.card.waiting')"
        )
        page.press(key)
    page.press("b")
    shot("triage")
    page.press("b")
    page.press("4")
    page.until("!!document.querySelector('.suggestion')", 60)
    shot("suggestions")
    page.value("document.querySelector('#take-all-back').click()")  # else the browser asks whether to leave
    page.value("location.hash = 'prototypes'")
    page.until("!!document.querySelector('.prototypes')")
    page.value("document.querySelector('.prototypes').scrollIntoView()")
    shot("prototypes")


def main(directory: Path) -> None:
    """Draw, build, serve, look."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        draw_line(place / "rings")
        store, pictures = place / "rings.store", place / "rings"
        embedstore.build(
            store, pictures, manifest=pictures / "rings.csv", teacher="efficientnet-lite0", views=0, outputs=[]
        )
        with listen(store, port=0) as server, running(server), driven(place / "profile") as page:
            for language, dark in (("en", False), ("ja", True)):
                page.dark(dark)
                look(page, server.address, language, directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
