"""A small line of drawn parts, its store, and a client of its page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

import embedstore
from embedstore_inspector.app import make_app
from embedstore_inspector.security import Access
from embedstore_inspector.serving import listen, running

COUNT = 40
HOSTILE_ID = (
    '<script>alert(1)<_script>"><img src=x onerror=alert(1)>&amp;%2e%2e %00 \u202e.png'  # a name that no file needs
)
ADDRESS = "http://127.0.0.1:8765"


def drawn(number: int) -> Image.Image:
    """Return a grey part, lit from a side of its own, every third with a bright stripe; number 39 is nearly black."""
    rng = np.random.default_rng(number)
    side, strength = rng.uniform(0, 1.5), rng.uniform(40, 90)
    light = np.add.outer(np.sin(side) * np.linspace(-1, 1, 48), np.cos(side) * np.linspace(-1, 1, 64))
    pixels = 120 + strength * light + rng.integers(0, 30, light.shape)
    if number % 3 == 0:
        pixels[20:28] = 250
    return Image.fromarray((pixels / (20 if number == COUNT - 1 else 1)).clip(0, 255).astype(np.uint8))


def name_of(number: int) -> str:
    """Return the path of a part's picture."""
    return f"{'crack' if number % 3 == 0 else 'good'}/部品 {number:02d}.png"


def make_line(place: Path) -> Path:
    """Draw the parts below `place`, with a manifest, and build a store; return its path."""
    rows = ["path,id,label,mode,group,shift"]
    for number in range(COUNT):
        path = place / "photos" / name_of(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn(number).save(path)
        hostile = '"' + HOSTILE_ID.replace('"', '""') + '"'
        label, mode = ("crack", "hairline") if number % 3 == 0 else ("good", "")
        shift = "night" if number % 2 else "day"
        rows.append(f"{name_of(number)},{hostile if number == 1 else ''},{label},{mode},part {number // 2},{shift}")
    (place / "photos.csv").write_text("\n".join(rows), "utf-8")
    embedstore.build(place / "store", place / "photos", manifest=place / "photos.csv", teacher="pixels", views=0)
    return place / "store"


def client_of(store: Path, *, access: Access | None = None, base: str = ADDRESS, **options: object) -> TestClient:
    """Return a client that asks as a browser at the address that was printed does."""
    return TestClient(make_app(store, access=access, **options), base_url=base, raise_server_exceptions=False)  # type: ignore[arg-type]


@contextmanager
def served(store: Path, **options: object) -> Iterator[str]:
    """Serve a store on a real socket; yields its address."""
    with listen(store, port=0, **options) as server, running(server):  # type: ignore[arg-type]
        yield server.address
