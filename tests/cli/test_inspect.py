"""`embedstore inspect` as installed: what it prints, the page that it writes, what it refuses."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_commands import call, refused

from embedstore import EmbeddingStore, Summary
from embedstore_cli import console
from embedstore_cli.inspect import inspect

DARK = "good/dark.png"
# Of three labels one card: the picture, its prototype (of so few pictures each is one), and its neighbours.
SHOWN = 3 * (1 + 1 + 3)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos and the store `s` built from them: alike tiles, one of them nearly black, two unlabelled."""
    place = tmp_path_factory.mktemp("line")
    rng = np.random.default_rng(0)
    rows = ["path,label,mode,group"]
    for number in range(26):
        label = "crack" if number % 3 == 0 else "good"
        pixels = np.add.outer(np.arange(24) * 4, np.arange(24)) + rng.integers(0, 40, (24, 24)) + 40
        if label == "crack":
            pixels[8:12] = 250
        name = DARK if number == 25 else f"{label}/タイル {number}.png"
        if name == DARK:
            pixels = pixels // 20
        (place / "photos" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place / "photos" / name)
        rows.append(f"{name},{'' if number in (1, 2) else label},{'hairline' if label == 'crack' else ''},part{number}")
    (place / "photos.csv").write_text("\n".join(rows), "utf-8")
    call("embedstore", "build", "s", "photos", "--manifest", "photos.csv", "--teacher", "pixels", cwd=place)
    return place


def test_the_oddest_of_each_label_are_listed_with_a_sentence(line: Path) -> None:
    out = call("embedstore", "inspect", "s", "--top", "2", cwd=line).stdout
    assert out.index("'crack': the oddest 2 of 9") < out.index("'good': the oddest 2 of 15")
    assert out.index("without a label: the oddest 2 of 2") > out.index("'good'")
    good = out[out.index("'good': the oddest") : out.index("without a label:")]
    assert good.index(DARK) < good.index("タイル")
    assert "It stands apart" in " ".join(good.split())
    assert "hairline" in out
    assert "made for this and not saved" in out
    assert call("embedstore", "summaries", "s", cwd=line).stdout.startswith("'s' has no summary yet")


def bars(stderr: str) -> list[list[str]]:
    """Return what each bar said last: its name, and the count behind it."""
    return [re.split(r"\s*━+\s*", line)[:2] for line in stderr.splitlines() if "━" in line]


def test_the_summary_that_is_made_first_has_a_bar_of_its_own(line: Path, tmp_path: Path) -> None:
    shutil.copytree(line / "s", tmp_path / "s")
    call("embedstore", "summarize", "s", "class-mean", cwd=tmp_path)
    made, given = (
        [name for name, _ in bars(call("embedstore", "inspect", "s", *arguments, cwd=tmp_path).stderr)]
        for arguments in ((), ("--against", "class-mean"))
    )
    assert made == ["Summarising", "Comparing"]
    assert given == ["Comparing"]


def test_no_bar_counts_before_there_is_something_to_count(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    @contextmanager
    def recorded(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
        events.append(f"{what} begins")
        yield lambda done, total: events.append(f"{what} {done}/{total} {unit}")
        events.append(f"{what} ends")

    def summarize(self: EmbeddingStore, *arguments: Any, **parameters: Any) -> Summary:
        events.append("at work")
        return make_summary(self, *arguments, **parameters)

    make_summary = EmbeddingStore.summarize
    monkeypatch.setattr(EmbeddingStore, "summarize", summarize)
    monkeypatch.setattr(console, "progress", recorded)
    inspect(line / "s", top=1)
    assert events[:6] == [
        "Summarising begins", "at work", "Summarising 1/1 summary", "Summarising ends", "Comparing begins",
        "Comparing 0/26 pictures",
    ]  # fmt: skip
    assert events[-2:] == ["Comparing 26/26 pictures", "Comparing ends"]


def test_where_only_the_test_side_has_labels_they_are_taken(line: Path, tmp_path: Path) -> None:
    lines = (line / "photos.csv").read_text("utf-8").splitlines()
    rows = [row.split(",") for row in lines[1:]]
    for number, row in enumerate(rows):
        row.append("test" if number % 2 else "train")
        row[1] = row[1] if number % 2 else ""
    manifest = [f"{lines[0]},split", *map(",".join, rows)]
    (tmp_path / "half.csv").write_text("\n".join(manifest), "utf-8")
    call(*("embedstore", "build", "s", line / "photos", "--manifest", "half.csv", "--teacher", "pixels"), cwd=tmp_path)
    out = call("embedstore", "inspect", "s", "--top", "1", cwd=tmp_path).stdout
    assert "sub-prototypes of 12 pictures, made for this and not saved." in out
    assert "No picture of the training side has a label, so the prototypes were made from the labelled pictures" in out


def test_help_promises_no_search_for_wrong_labels(line: Path) -> None:
    out = " ".join(call("embedstore", "inspect", "--help", cwd=line).stdout.split())
    assert "such as rare kinds and spoilt pictures" in out
    assert "Most wrong labels are not found" in out


def test_json_tells_everything(line: Path) -> None:
    arguments = ("embedstore", "inspect", "s", "--label", "good", "--label", "", "--top", "1", "--json")
    facts = json.loads(call(*arguments, cwd=line).stdout)
    assert [(label["label"], label["count"], len(label["odd"])) for label in facts["labels"]] == [
        ("good", 15, 1),
        (None, 2, 1),
    ]
    odd = facts["labels"][0]["odd"][0]
    assert (odd["id"], odd["group"], odd["reason"], odd["percentile"]) == (DARK, "part25", "nothing-near", 100)
    assert odd["why"].startswith("It stands apart")
    assert len(odd["nearest"]) == 3
    assert {"id", "label", "similarity", "distance"} <= odd["nearest"][0].keys()
    assert odd["prototype"]["label"] == "good"
    assert facts["against"]["strategy"] == "sub-prototypes"
    assert facts["against"]["split"] is None


def test_a_page_is_written_and_written_again(line: Path) -> None:
    for _ in range(2):
        out = call("embedstore", "inspect", "s", "--top", "1", "--html", "odd.html", cwd=line).stdout
        assert "The page is 'odd.html'." in out
        assert "is not there" not in out
    html = (line / "odd.html").read_text("utf-8")
    assert f'alt="{DARK}"' in html
    assert html.count("<img") == SHOWN
    assert [one.name for one in line.iterdir() if "odd" in one.name] == ["odd.html"]


def test_pictures_that_moved_are_asked_for_and_taken_from_there(line: Path, tmp_path: Path) -> None:
    shutil.copytree(line / "s", tmp_path / "s")
    (line / "photos").rename(tmp_path / "elsewhere")
    try:
        arguments = ("embedstore", "inspect", "s", "--top", "1", "--html", "odd.html")
        out = call(*arguments, cwd=tmp_path).stdout
        assert "is not there, so the page has no pictures; tell where: --images DIR" in " ".join(out.split())
        assert "<img" not in (tmp_path / "odd.html").read_text("utf-8")
        out = call(*arguments, "--images", "elsewhere", cwd=tmp_path).stdout
        assert "no pictures" not in out
        assert (tmp_path / "odd.html").read_text("utf-8").count("<img") == SHOWN
    finally:
        (tmp_path / "elsewhere").rename(line / "photos")


def test_a_saved_summary_is_compared_with(line: Path, tmp_path: Path) -> None:
    shutil.copytree(line / "s", tmp_path / "s")
    call("embedstore", "summarize", "s", "class-mean", cwd=tmp_path)
    out = call("embedstore", "inspect", "s", "--against", "class-mean", "--top", "1", cwd=tmp_path).stdout
    assert "Compared with the summary 'class-mean': 2 prototypes of 24 pictures." in out


def test_mistakes_are_one_sentence_and_leave_nothing(line: Path) -> None:
    (line / "odd.txt").write_text("mine", "utf-8")
    for arguments, sentence in (
        (("--against", "means"), "has no summary 'means'"),
        (("--label", "goood"), "no sample with the label 'goood'; its labels are: 'crack', 'good'."),
        (("--html", "odd.txt"), "does not end in .html"),
        (("--html", "gone/odd.html"), "'gone' does not exist; make it first"),
        (("--html", "new.html", "--images", "gone"), "The image folder 'gone' does not exist"),
        (("--top", "0", "--html", "new.html"), "is 0; ask for 1 or more"),
    ):
        assert sentence in refused("embedstore", "inspect", "s", *arguments, cwd=line)
    assert not (line / "new.html").exists()
    assert (line / "odd.txt").read_text("utf-8") == "mine"


def test_a_page_that_can_not_be_written_is_told_at_once_and_takes_no_list_with_it(
    line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "x" * 245 + ".html"  # a name that can be looked for, but not written
    assert f"'{page}' can't be used" in refused("embedstore", "inspect", "nowhere", "--html", page, cwd=line)

    def full_disk(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "page.html")

    monkeypatch.setattr("embedstore.pages.odd_page.write_odd_page", full_disk)
    with pytest.raises(OSError, match="No space left"):
        inspect(line / "s", top=1, html=tmp_path / "page.html")
    out = capsys.readouterr().out
    assert "'good': the oddest 1 of 15" in out
    assert "The page is" not in out
