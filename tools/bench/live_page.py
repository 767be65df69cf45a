"""How long a reader waits for the live page of a big store: python tools/bench/live_page.py [--samples N] [--dim D].

Makes a store of random clusters, serves it, opens it in Chromium (which must be on the PATH) and prints, in seconds: the first
paint of all points, with a warm and a cold server; one more paint; the gallery's first pictures' names; oddness known; a card.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]

from browser import driven  # noqa: E402
from helpers import store_of  # noqa: E402

from embedstore.vectors import unit_length  # noqa: E402
from embedstore_inspector.serving import listen, running  # noqa: E402


def make_store(path: Path, samples: int, dim: int) -> None:
    """Make a store of 12 clusters of unequal size under two labels."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(12, 0.8))
    kinds = np.sort(rng.choice(12, samples, p=shares))
    vectors = np.empty((samples, dim), np.float16)
    centres = rng.normal(size=(12, dim))
    for start in range(0, samples, 10_000):
        part = slice(start, start + 10_000)
        noise = rng.normal(size=(len(kinds[part]), dim)) * rng.uniform(0.5, 1.1, (len(kinds[part]), 1))
        vectors[part] = unit_length(centres[kinds[part]] + noise)
    store_of(
        path,
        vectors,
        labels=["good" if kind < 9 else "defect" for kind in kinds],
        modes=[f"kind {kind}" for kind in kinds],
        groups=[f"part {at // 3}" for at in range(samples)],
    ).close()


def main() -> None:
    """Make, serve, open, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        make_store(place / "store", asked.samples, asked.dim)
        print(f"{asked.samples:,} samples of {asked.dim} numbers; seconds from the address to")
        with listen(place / "store", port=0) as server, running(server), driven(place / "profile") as page:
            mark = "performance.getEntriesByName('points-painted')[0]?.startTime"
            for name in ("cold", "warm"):
                page.open("about:blank")
                page.open(server.address)
                print(f"  first paint of all points, {name} server    {page.until(mark, 120) / 1000:8.2f}")
            started = time.perf_counter()
            page.until("performance.getEntriesByName('all-known')[0]?.startTime", 600)
            print(f"  oddness of all known, after that           {time.perf_counter() - started:8.2f}")
            page.until("document.querySelectorAll('.cell .caption strong').length > 3")
            started = time.perf_counter()
            page.value("document.querySelector('.cell').click()")
            page.until("!!document.querySelector('.sample')", 60)
            print(f"  a sample's card                            {time.perf_counter() - started:8.2f}")


if __name__ == "__main__":
    main()
