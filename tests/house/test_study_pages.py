"""The study's documents: made from random scores, their figures are those of the scores; those kept here are of today's JSON."""

import json
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from toy_study import FOLDS, MADE, SAMPLES, SEEDS, english, rows, runs_of

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "study"), str(ROOT / "tools")]

import missed  # noqa: E402
import pages  # noqa: E402
import results  # noqa: E402
from conditions import CONDITIONS  # noqa: E402
from page_parts.bars import MOST_PARAMETERS, bars  # noqa: E402
from page_parts.drawing import spread, wrapped  # noqa: E402
from page_parts.evidence import MAIN, Compared, Evidence  # noqa: E402
from page_parts.markdown import gap, share, size  # noqa: E402
from page_parts.misses import judged  # noqa: E402
from page_parts.names import described, family  # noqa: E402
from page_parts.tables import rival_in_bytes  # noqa: E402

from embedstore.pages.svg import text_width  # noqa: E402


@pytest.fixture(scope="module")
def made(docs: Path) -> dict[Path, str]:
    return pages.make(docs, resamples=50)


def test_what_was_screened_is_held_against_what_it_changes_seed_by_seed(made: dict[Path, str]) -> None:
    told = english(made)
    assert "| `own` | own embeddings, as searched | .700 | – | `own` |" in told
    assert (
        "| `own-whole` | cross-entropy on whole pictures, alignment on crops | .733 | +.033 (−.100 to .100) | `own` |"
        in told
    )
    assert "| `own-medium` | a student of 1.8 M parameters | .750 | +.050 (.050 to .050) | `own` |" in told
    assert "In brackets, the least and the most of the seeds" in told
    assert "The search had trained the first recipe" not in told  # own's best recipe reached .7 there, too


def test_one_seed_of_the_screen_has_no_range_and_stands_beside_the_same_training_of_the_search(
    docs: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(docs, tmp_path / "study")
    tried = {"own": {"of": "own", "val_auroc": [0.65]}, "own-whole": {"of": "own", "val_auroc": [0.75]}}
    (copied / MAIN / "screen.json").write_text(json.dumps({"epochs": 30, "tried": tried}), "utf-8")
    told = english(pages.make(copied, resamples=50))
    assert "| `own-whole` | cross-entropy on whole pictures, alignment on crops | .750 | +.100 | `own` |" in told
    assert "In brackets, the least and the most of the seeds" not in told
    assert "at another time: .700 there, as the best of 2, .650 here" in told


def japanese(made: dict[Path, str]) -> str:
    return next(text for path, text in made.items() if path.name == "rare-defects.ja.md")


def test_the_same_json_gives_the_same_bytes(docs: Path, made: dict[Path, str]) -> None:
    assert pages.make(docs, resamples=50) == made
    assert not any(str(docs) in text or "nan" in text for text in made.values())


def test_figures_are_those_of_the_scores(docs: Path, made: dict[Path, str]) -> None:
    read = results.read(docs / MAIN)
    for name in ("none", "class-mean", "trunk"):
        by_fold: dict[int, list[float]] = {fold: [] for fold in range(FOLDS)}
        for run in read[name].runs:  # tested on both folds that it holds out
            for fold, side in ((run.fold, "test"), (run.val_fold, "val")):
                held = [one for one in run.held if one.side == side]
                defect = [one.label != "good" for one in held]
                by_fold[fold or 0].append(roc_auc_score(defect, [one.probabilities[0] for one in held]))
        area = np.mean([np.mean(areas) for areas in by_fold.values()])
        figures, *_ = rows(english(made), name, "Baselines and controls")
        assert figures[1] == share(float(area))
        assert figures[7:] == ["60", "0.30 M"]
    perfect, *_ = rows(english(made), "own", "Baselines and controls")
    assert [perfect[1], perfect[4]] == ["1.000", "1.000"]
    assert perfect[2].startswith("1.000 (")


def bullets(text: str) -> list[str]:
    return [line for line in text.split("\n\n")[3].splitlines() if line.startswith("- ")]


def test_the_answer_names_the_best_and_what_it_is_held_against(made: dict[Path, str]) -> None:
    first, second, *others = bullets(english(made))
    assert "**`own` catches most rare defects**: 1.00 of each kind" in first
    assert "from 10.0 MB of what the teacher saw" in first
    own_to_none = rows(english(made), "own", "Baselines and controls")[1][2]
    value = float(own_to_none.split("**")[1].replace("−", "-"))
    assert value > 0
    assert f"plain training of the same student that is {share(value, 2, signed=True)} (" in second
    assert "(`trunk`)" in second
    assert not any("patches" in one for one in others)
    assert any("`rare-25`（390 KB）が最も多く検出し" in one for one in bullets(japanese(made)))


def test_the_answer_tells_what_patches_add_where_most_is_found_beside_them(docs: Path, tmp_path: Path) -> None:
    patched = tmp_path / "study"
    shutil.copytree(docs, patched)
    about = {"good": "good", "part": "patches", "method": "patches", "peak_memory": None, "curve": [], "jobs": 2}
    about |= {"machine": "2 CPU cores", "settings": {}, "says": "patches"}
    beside = {"patches": (None, 1.5), "none-patches": ("none", 1.5), "rare-25-patches": ("rare-25", 3.0)}
    for name, (of, apart) in {**beside, "trunk-patches": ("trunk", 9.0)}.items():
        assert not any("patches" in one for one in bullets(english(pages.make(patched, resamples=5)))) or of
        results.write(patched / MAIN, name, {**about, "of": of}, runs_of("own", apart), "good")
    made = pages.make(patched, resamples=50)
    (told,) = (one for one in bullets(english(made)) if "patches" in one)
    (told_in_japanese,) = (one for one in bullets(japanese(made)) if "パッチ" in one)
    main = Evidence(patched, resamples=50).main
    assert main is not None
    reached = share(main.figures["rare-25-patches"].macro_mode_recall, 2)
    assert f"`rare-25` reaches {reached}, and " in told
    assert f"`rare-25` は {reached}、" in told_in_japanese
    for other, called in {"rare-25": "the head", "patches": "patches", "trunk-patches": "`trunk` with patches"}.items():
        found = main.difference("rare-25-patches", other, "macro_mode_recall")
        assert found is not None
        assert (
            f"{share(found.value, 2, signed=True)} (" in told.split(f" against {called}")[0].rsplit(";", maxsplit=1)[-1]
        )


def test_bars_tell_reached_from_not_reached_and_not_known(docs: Path, made: dict[Path, str]) -> None:
    told = {line.split(" | ")[0].strip("| "): line.split(" | ")[-1].strip("| ") for line in english(made).splitlines()}
    assert told["AUROC .93"] == "**reached**"
    assert told["stretch: recall of the worst kind .70"] == "**reached**"
    assert told["stretch: above `trunk` in macro-mode recall, from the same weights of the teacher"] == "not known yet"
    rare = next(verdict for aim, verdict in told.items() if aim.startswith("a rare-aware summary"))
    assert rare == "not known yet"  # no random samples were trained
    read = results.read(docs / MAIN)
    low = bars(Compared({name: read[name] for name in ("none", "class-mean", "teacher-probe")}, 5))
    assert [one.reached for one in low] == [False, False, False, None, None, False, False, False, None]
    read["own"].about["parameters"] = MOST_PARAMETERS
    assert bars(Compared(read, 5))[0].best == "rare-25"


def test_what_is_missing_is_said(docs: Path, made: dict[Path, str], tmp_path: Path) -> None:
    text = english(made)
    for key, one in CONDITIONS.items():
        finished = one.data == MAIN and one.name in MADE
        assert f"| `{key}` |" in text
        assert (f"`{key}`" in "".join(re.findall(r"Still to be trained: .*", text))) is not finished
    nothing = pages.make(tmp_path / "study", resamples=5)
    assert [path.suffix for path in nothing] == [".md", ".md"]
    assert "**Nothing is known yet:**" in english(nothing)
    assert "まだ結果はありません" in japanese(nothing)


def test_both_languages_tell_the_same_figures_in_tables_of_one_shape(made: dict[Path, str]) -> None:
    figures = []
    for text in (english(made), japanese(made)):
        lines = [line for line in text.splitlines() if line.startswith("|")]
        figures.append(re.findall(r"[−+]?\d?\.\d{2,3}\b", "\n".join(lines)))
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            assert len({line.replace("\\|", "").count(" | ") for line in table.splitlines()}) == 1, table
        assert "\n\n\n" not in text
        assert "{{" not in text
        assert "None" not in text
    assert figures[0] == figures[1]
    assert len(figures[0]) > 100


def test_chosen_recipes_are_bold(made: dict[Path, str]) -> None:
    assert rows(english(made), "none", "Search") == [["`none`", "as it is: .800", "**balance .5: .900**"]]
    assert rows(english(made), "own", "Search") == [["`own`", "**lambda 1: .700**", "lambda 5: .600"]]
    assert "below the first recipe of its method: `own` with “lambda 5”." in english(made)


def test_the_training_free_part_is_told(made: dict[Path, str]) -> None:
    text = english(made)
    assert "Of 3 conditions, 1 are above k-means" in text
    assert "class-distribution, vectors 8 (+.20)" in text
    assert "reach AUROC .990 instead of .750" in text
    best = text.split("The best of each summary, whatever its size:")[1].split("\n\n")[1].splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in best] == [
        "class-distribution, vectors 8", "sub-prototypes, prototypes 32", "medoids, prototypes 32",
    ]  # fmt: skip


def test_pictures_stand_inside_their_frames(made: dict[Path, str]) -> None:
    pictures = {path.name: text for path, text in made.items() if path.suffix == ".svg"}
    assert set(pictures) == {
        f"{name}{width}{language}.svg"
        for name in ("gains", "kinds", "bytes", "training-free")
        for width in ("", ".narrow")
        for language in ("", ".ja")
    }
    for name, text in pictures.items():
        tree = ET.fromstring(text)  # noqa: S314  made here
        width, height = float(tree.attrib["width"]), float(tree.attrib["height"])
        assert width == (400 if ".narrow" in name else 880)
        for one in tree.iter("{http://www.w3.org/2000/svg}text"):
            at, wide = float(one.attrib["x"]), 0.9 * text_width(one.text or "", 12)
            start = {"end": at - wide, "middle": at - wide / 2}.get(one.attrib.get("text-anchor", "start"), at)
            assert start >= 0, (name, one.text)
            assert start + wide <= width, (name, one.text)
            assert 0 < float(one.attrib["y"]) <= height
        assert f"study/{name}" in english(made) + japanese(made)


def test_names_are_moved_apart_as_little_as_that_takes() -> None:
    assert spread([10, 50], 17, 0, 100) == [10, 50]
    assert spread([50, 40], 20, 0, 100) == pytest.approx([55, 35])
    placed = sorted(spread([90, 91, 92, 93], 17, 0, 100))
    assert np.diff(placed).min() > 16.9
    assert max(placed) <= 100


def test_text_is_cut_into_lines_that_fit() -> None:
    lines = wrapped("the quick brown fox jumps", 100, 10)
    assert " ".join(lines) == "the quick brown fox jumps"
    assert all(text_width(line, 10) <= 100 for line in lines)
    letters = wrapped("検出率は、平均です。", 40, 10)
    assert "".join(letters) == "検出率は、平均です。"
    assert not any(line[0] in "、。" for line in letters)


def test_numbers_as_they_are_written() -> None:
    assert [share(0.5), share(1.0), share(-0.25, 2, signed=True), share(None)] == [".500", "1.000", "−.25", "–"]
    assert [size(950), size(7_682), size(23_048), size(330_368), size(18_500_000)] == [
        "950 B", "7.68 KB", "23.0 KB", "330 KB", "18.5 MB",
    ]  # fmt: skip
    assert gap(0.1, 0.05, 0.15).en == "**+.100** (.050 to .150)"
    assert gap(0.1, -0.05, 0.15).ja == "+.100（−.050～.150）"


def test_rivals_have_as_many_bytes(docs: Path) -> None:
    compared = Evidence(docs, resamples=1).data[MAIN]
    assert rival_in_bytes(compared, "rare-25", "k-means") == "k-means-32"
    assert rival_in_bytes(compared, "class-mean", "k-means") == "k-means-8"
    assert rival_in_bytes(compared, "own", "k-means") is None
    assert rival_in_bytes(compared, "k-means-8", "k-means") is None
    assert rival_in_bytes(compared, "rare-25", "random") is None
    assert [family(name) for name in ("rare-samples", "k-means-100", "own", "compressed-16-even")] == [
        "rare", "k-means", "own", "compressed-even",
    ]  # fmt: skip


def test_every_condition_is_told_in_japanese() -> None:
    assert [one.name for one in CONDITIONS.values() if described(one.name, one.says).ja == one.says] == []


def test_wrong_judgements_are_counted_over_the_trainings_that_hold_a_picture_out(docs: Path) -> None:
    read = results.read(docs / MAIN)
    found = judged({name: read[name] for name in ("none", "own")})
    assert {one.wrong for one in found["own"] if one.kind} == {0.0}
    assert len(found["none"]) == len(SAMPLES)
    looks = 2 * SEEDS
    assert {(one.rejected * looks) % 1 for one in found["none"]} == {0.0}
    recall = np.mean([one.rejected for one in found["none"] if one.kind == "Crack"])
    (figure,) = (
        kind for kind in Evidence(docs, resamples=1).data[MAIN].figures["none"].by_mode if kind.name == "Crack"
    )
    assert recall == pytest.approx(figure.recall)
    wrong = [one.wrong for one in found["none"]]
    assert wrong == sorted(wrong, reverse=True)


def test_the_page_of_missed_pictures_shows_them(docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "RESAMPLES", 5)
    for one in SAMPLES:
        path = tmp_path / one.id
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    html = missed.page(docs, tmp_path, MAIN, ["none"], 3)
    found = judged({"none": results.read(docs / MAIN)["none"]})["none"]
    worst = [one for kind in ("Crack", "Fray", None) for one in [each for each in found if each.kind == kind][:3]]
    assert html.count("data:image/webp") == sum(one.wrong > 0 for one in worst)
    for one in worst:
        assert f'alt="{one.id}"' in html
    with pytest.raises(
        ValueError, match=r"'nobody' is not finished on all folds of 'magnetic-tile'; choose of class-mean, "
    ):
        missed.page(docs, tmp_path, MAIN, ["nobody"], 3)
    with pytest.raises(ValueError, match=r"is no folder; tell where the pictures are: --tiles DIR"):
        missed.page(docs, tmp_path / "nowhere", MAIN, None, 3)


def test_the_documents_kept_here_are_of_todays_json() -> None:
    kept = ROOT / "docs" / "study"
    if not list(kept.glob("**/*.json")):
        pytest.skip("docs/study has no results yet")
    for path, text in pages.make(kept).items():
        assert path.exists(), f"{path} is missing; write it with: make study-pages"
        assert path.read_text("utf-8") == text, (
            f"{path} is not of the JSON beside it; write it anew with: make study-pages"
        )
