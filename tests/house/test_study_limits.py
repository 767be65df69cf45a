"""The study's document on what limits students: larger pictures and the teacher's stages each get their own share, no more."""

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from toy_study import SAMPLES, english, rows, runs_of

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "study"), str(ROOT / "tools")]

import pages  # noqa: E402
import results  # noqa: E402
from page_parts.answer import cheapest  # noqa: E402
from page_parts.evidence import MAIN, Evidence, strongest_rival  # noqa: E402
from page_parts.markdown import gap_of  # noqa: E402
from page_parts.tables import rival_in_bytes  # noqa: E402


def test_what_the_store_adds_to_the_teachers_own_stages_is_told_once_it_is_trained(docs: Path, tmp_path: Path) -> None:
    assert "A student that begins with these stages" not in english(pages.make(docs, resamples=50))
    copied = shutil.copytree(docs, tmp_path / "study")
    about: dict[str, Any] = {
        "data": "tiles", "says": "taught", "part": "baselines", "method": "own", "good": "good", "machine": "2 CPU cores",
        "jobs": 2, "settings": {"student": "trunk:efficientnet-lite0:5"}, "parameters": 700_000, "peak_memory": None, "curve": [],
    }  # fmt: skip
    results.write(copied / MAIN, "trunk-own-30", about, runs_of("own", 50.0), "good")
    told = english(pages.make(copied, resamples=50)).split("\n\n")[3]
    assert "A student that begins with these stages and learns from the store (`trunk-own-30`) reaches 1.00" in told
    assert re.search(r"the store's part in that is \+\.\d\d \(\+\.\d\d to \+\.\d\d, beyond chance\)\.", told)


def test_larger_pictures_are_held_against_as_large_ones(docs: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(docs, tmp_path / "study")
    for name in ("own", "none", "trunk", "k-means-32", "rare-25"):
        about = results.read(docs / MAIN)[name].about
        about |= {"settings": about["settings"] | {"size": 160}, "part": "summaries" if "-" in name else "recipes"}
        runs = [replace(run, policy=f"{name}-160px") for run in runs_of("class-mean", 4.0)]
        results.write(copied / MAIN, f"{name}-160px", about, runs, "good")
    compared = Evidence(copied, resamples=50).data[MAIN]
    large = "rare-25-160px"
    assert [compared.as_trained("none", name) for name in (large, "rare-25", "none-160px")] == [
        "none-160px",
        "none",
        "none",
    ]
    assert [strongest_rival(compared, name) for name in (large, "rare-25")] == ["trunk-160px", "trunk"]
    assert [rival_in_bytes(compared, name, "k-means") for name in (large, "rare-25")] == [
        "k-means-32-160px",
        "k-means-32",
    ]
    told = english(pages.make(copied, resamples=50))
    (row,) = rows(told, large, "Summaries by bytes")
    assert row[6] == gap_of(compared.difference(large, "own-160px", "macro_mode_recall")).en + " `own-160px`"
    assert row[8].endswith(" `k-means-32-160px`")
    assert "; rare-160px 390 KB .00" in told  # a line of its own in the picture
    assert len(rows(told, "own-160px", "Summaries by bytes")) == 1
    assert "own-160px .00 (.00 to .00)" in told  # in the picture of gains, over none-160px, whose scores are the same
    assert cheapest(compared) == large  # nothing below own-160px, much below own


def test_longer_trainings_are_held_against_as_long_ones(docs: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(docs, tmp_path / "study")

    def write(name: str, apart: float) -> None:
        about = results.read(docs / MAIN)[name.removesuffix("-long")].about
        if name.endswith("-long"):
            about |= {"settings": about["settings"] | {"epochs": 100, "pretrain_epochs": 200}, "part": "recipes"}
        runs = [replace(run, policy=name) for run in runs_of("class-mean", apart)]
        results.write(copied / MAIN, name, about, runs, "good")

    write("own", 2.0)
    write("own-long", 50.0)
    compared = Evidence(copied, resamples=50).data[MAIN]
    assert compared.as_trained("none", "own-long") == "none-long"
    assert compared.as_trained("own", "own-long") == "own"
    told = english(pages.make(copied, resamples=50))
    assert "Plain training as long and on pictures as large (`none-long`) is not finished" in told
    assert "own-long +" not in told  # in the picture of gains
    write("none-long", 2.0)
    told = english(pages.make(copied, resamples=50))
    assert "Against plain training of the same student that is" in told
    assert "own-long +" in told
    compared = Evidence(copied, resamples=50).data[MAIN]
    gained, longer = (
        gap_of(compared.difference(name, name.split("-")[0], "macro_mode_recall")).en
        for name in ("own-long", "none-long")
    )
    assert f"`own-long` − `own` {gained}; `none-long` − `none` {longer}." in told


def test_what_limits_the_students_is_what_changing_it_gave(docs: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(docs, tmp_path / "study")
    about = results.read(docs / MAIN)["none"].about
    results.write(
        copied / MAIN, "none-160px", about, [replace(run, policy="none-160px") for run in runs_of("own", 9.0)], "good"
    )
    results.write_samples(copied / "magnetic-tile-given", SAMPLES)
    results.write(
        copied / "magnetic-tile-given",
        "own",
        about,
        [replace(run, policy="own") for run in runs_of("none", 1.0)],
        "good",
    )
    told = english(pages.make(copied, resamples=50)).split("### What limits the students")[1].split("###")[0]
    gained = Evidence(copied, resamples=50).data[MAIN].difference("none-160px", "none", "macro_mode_recall")
    assert f"Larger pictures: over the kinds `none-160px` − `none` {gap_of(gained).en}." in told
    probe, *_ = rows(english(pages.make(docs, resamples=50)), "teacher-probe", "Baselines and controls")
    assert f"AUROC {probe[1]}, mean recall {probe[3]} and {probe[4]} over the kinds" in told
    assert re.search(r"`own` has AUROC \.\d\d\d instead of 1\.000 and \.\d\d\d instead of 1\.000 over the kinds", told)
    assert "More of the teacher" not in told  # nothing of it is finished
