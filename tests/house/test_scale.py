"""docs/scale.md is what its records say, in both languages, and they hold what the page promises."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path += [str(ROOT / "tools" / "bench"), str(ROOT / "tools")]

import scale  # noqa: E402
from growth_parts.figures import figures, records  # noqa: E402
from growth_parts.fit import exponents, highest, within_budget  # noqa: E402
from growth_parts.steps import BEYOND, CHECKS, STEPS  # noqa: E402

PAGES = scale.PAGES
TEXTS = {name: (ROOT / "tools" / "bench" / "growth_parts" / "pages" / name).read_text("utf-8") for name in PAGES}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_written_from_the_records(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == scale.pages(DOCS)[name], "run: python tools/bench/scale.py"


def test_both_languages_tell_the_same_figures() -> None:
    told = [set(re.findall(r"{([a-z -]+)}", text)) for text in TEXTS.values()]
    assert told[0] == told[1]
    assert told[0] == set(figures(records(DOCS)))


def test_figures_on_paper_are_those_by_hand() -> None:
    growth: dict[str, Any] = {
        "threads": 2,
        "machine": {"cores": 2, "system": "Linux", "python": "3.11"},
        "load": {"1000000": 0.1},
        "generator": {"dim": 64},
        "exponents": {"summary class-mean": 1.0, "rare scores": 1.05, "index": 1.25, CHECKS[0]: 2.0},
        "sizes": {
            "100000": {"rare scores": {"seconds": 4.0, "private": 1}},
            "1000000": {
                "summary class-mean": {"seconds": 18.0, "private": 400_000_000},
                "rare scores": {"seconds": 45.0, "private": 500_000_000},
                "summary rare-samples": {"seconds": 90.0, "private": 2_000_000_000},
                **{
                    f"{name} over shards": {
                        "seconds": seconds, "private": 1, "facts": {"seconds in steps": 0.9 * seconds}
                    }
                    for name, seconds in (("class-mean", 20.0), ("rare-samples", 100.0))
                },
                CHECKS[0]: {
                    "seconds": 1.0,
                    "private": 9_000_000_000,
                    "facts": {
                        "same prototypes": 1.0, "gathered": 0.95, "two gathered runs": 0.9, "planted found": 0.875,
                    },
                },
            }
        },
    }  # fmt: skip
    ours = {
        "disk": {"vectors": 1_040_000_000, "metadata": 137_000_000, "index": 152_000_000},
        "measures": {name: {"value": 250_000.0} for name in ("write", "scan first", "index")},
    }
    storage = {"rows": 1_000_000, "systems": {"embedstore": ours, "faiss": {"disk": {"index": 1_034_000_000}}}}
    training = {"options": {"views": 2}, "figures": {"pass, ViT-B/32": {"seconds": 100.0}}}
    found = figures({"growth": growth, "storage-1m": storage, "training": training})
    expected = {
        "busy": "?, 0.1",
        "highest": "1.05",
        "index exponent": "1.25",
        "steepest": "1.05",
        "last but one": "100,000",
        "index hours": "1",
        "index most hours": "35",
        "most private": "2.0 GB",
        "rare million": "45",
        "rare planted": "87.5%",
        "vectors billion": "1.04 TB",
        "index billion": "152 GB",
        "faiss billion": "1.03 TB",
        "flat billion": "2.05 TB",
        "write hours": "1.1",
        "scan minutes": "67",
        "gpu hours": "185",
        "embed hours": "23",
        "core rate": "30",
        "core years": "1.1",
        "mean core hours": "80",
        "mean driver hours": "0.6",
        "kept core hours": "400",
        "kept driver hours": "2.8",
        "kept size": "1,000,000",
        "k-means passes": "24",
        "kept passes": "52",
        "pass hours": "0.3",
        "kept read hours": "15",
        "driver bytes": "400",
        "driver hundred": "40 GB",
        "driver billion": "400 GB",
        "summary most": "130",
    }
    assert {name: found[name] for name in expected} == expected
    assert "| summary class-mean |  | 18 | 1.00 | 400 |" in found["table"]
    assert CHECKS[0] not in found["table"]


def test_the_record_holds_what_is_promised() -> None:
    """Nothing above n log n, memory within the budget, rare scores of a million in five minutes, 95 % of the exact top 1 %."""
    growth = json.loads((DOCS / "growth.json").read_text("utf-8"))
    assert growth["exponents"] == exponents(growth["sizes"])
    large = {step for step in STEPS if step not in CHECKS + BEYOND and step in growth["exponents"]}
    assert large >= {"build", "rare scores", "summary rare-samples", "summary sub-prototypes", "epoch of own"}
    allowed = highest(map(int, growth["sizes"]))
    assert {step: growth["exponents"][step] for step in large if growth["exponents"][step] > allowed} == {}
    assert [growth["exponents"][step] < 1.5 for step in BEYOND] == [True]
    for size, steps in growth["sizes"].items():
        for step, cell in steps.items():
            assert step in CHECKS or cell["private"] is None or within_budget(int(size), cell["private"]), (size, step)
    million = growth["sizes"]["1000000"]
    assert million["rare scores"]["seconds"] < 300
    assert million[CHECKS[0]]["facts"]["same prototypes"] >= 0.95
