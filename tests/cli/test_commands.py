"""The real commands on real files: what they print, what they leave, what they refuse."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_commands import SCRIPTS, call, refused, save

from distill.evaluation.report import Report
from distill.reports.caveats import remarks_on


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, a manifest, and a store built from them by the command."""
    place = tmp_path_factory.mktemp("line")
    rows = ["path,label,mode,group,shift"]
    for number in range(60):
        defect = number % 3 == 0
        name = f"{'defect' if defect else 'good'}/部品 {number}.png"
        save(place / "photos" / name, number, bright=defect)
        rows.append(
            f"{name},{'defect' if defect else 'good'},{'stripe' if defect else ''},part{number // 2},{number % 2}"
        )
    (place / "photos" / "good" / "broken.png").write_bytes(b"no picture")
    rows.append("good/broken.png,good,,part99,0")
    (place / "photos.csv").write_text("\n".join(rows), "utf-8")
    call("embedstore", "build", "s", "photos", "--manifest", "photos.csv", "--teacher", "pixels", cwd=place)
    return place


@pytest.fixture(scope="module")
def trained(line: Path) -> Path:
    """The line with a split and a finished run."""
    call("embedstore", "split", "s", cwd=line)
    call(
        "distill",
        "train",
        "s",
        "--policy",
        "own",
        "--out",
        "run",
        "--good",
        "good",
        "--epochs",
        "2",
        "--size",
        "32",
        cwd=line,
    )
    return line


def test_second_build_embeds_nothing_and_says_so(line: Path) -> None:
    result = call("embedstore", "build", "s", "photos", "--manifest", "photos.csv", "--json", cwd=line)
    report = json.loads(result.stdout)
    assert (report["embedded"], report["samples"], report["set_aside"], report["new"]) == (0, 60, 1, 0)


def test_build_says_which_of_the_broken_pictures_are_samples(line: Path, tmp_path: Path) -> None:
    shutil.copytree(line / "photos", tmp_path / "photos")
    assert "of them" not in call("embedstore", "build", "s", "photos", "--teacher", "pixels", cwd=tmp_path).stdout
    known = next((tmp_path / "photos" / "good").glob("*.png"))
    known.write_bytes(b"no picture any more")
    said = call("embedstore", "build", "s", "photos", cwd=tmp_path).stdout
    assert "set aside, which can't be used" in said
    assert "1 of them is a sample and keeps its vectors, but training that reads the files refuses them: put" in said


def test_build_says_how_many_pictures_were_set_aside_and_info_lists_them(line: Path, tmp_path: Path) -> None:
    result = call("embedstore", "build", tmp_path / "t", "photos", "--teacher", "pixels", "--views", "0", cwd=line)
    assert "1 picture was set aside" in result.stdout
    shown = call("embedstore", "info", tmp_path / "t", cwd=line).stdout
    assert "good/broken.png: is not a picture in a known format" in shown


def test_info_as_json(line: Path) -> None:
    facts = json.loads(call("embedstore", "info", "s", "--json", cwd=line).stdout)
    assert facts["samples"] == 60
    assert facts["labels"] == {"good": 40, "defect": 20}
    assert facts["teacher"] == "pixels"
    assert facts["views"] == 2
    assert facts["groups"] == 30
    assert facts["set_aside"] == [{"path": "good/broken.png", "reason": "is not a picture in a known format"}]


def test_query_by_id_image_and_filter_agree_with_the_library(line: Path) -> None:
    import embedstore

    sample_id = "good/部品 1.png"
    found = json.loads(call("embedstore", "query", "s", "--id", sample_id, "--top", "3", "--json", cwd=line).stdout)
    with embedstore.open(line / "s") as store:
        expected = store.search(store.vectors([sample_id]), top=3, exclude=[sample_id])[0]
    assert [(hit["id"], pytest.approx(hit["similarity"])) for hit in found] == [
        (hit.id, hit.similarity) for hit in expected
    ]

    by_image = json.loads(
        call("embedstore", "query", "s", "--image", f"photos/{sample_id}", "--top", "1", "--json", cwd=line).stdout
    )
    assert by_image[0]["id"] == sample_id
    assert by_image[0]["similarity"] == pytest.approx(1, abs=1e-3)

    conditions = ("--where", "label=defect", "--where", "shift=1")
    result = call("embedstore", "query", "s", "--id", sample_id, *conditions, "--top", "99", "--json", cwd=line)
    filtered = json.loads(result.stdout)
    assert len(filtered) == 10
    assert {hit["label"] for hit in filtered} == {"defect"}
    assert sample_id in call("embedstore", "query", "s", "--image", f"photos/{sample_id}", cwd=line).stdout


def test_summarize_saves_and_tells_what_it_hides(trained: Path) -> None:
    facts = json.loads(
        call(
            "embedstore", "summarize", "s", "class-mean", "--name", "m", "--per-class", "5", "--json", cwd=trained
        ).stdout
    )
    assert [prototype["label"] for prototype in facts["prototypes"]] == ["defect", "good"]
    assert facts["split"] == "train"
    assert "m" in json.loads(call("embedstore", "info", "s", "--json", cwd=trained).stdout)["summaries"]
    assert "already has a summary 'm'" in refused(
        "embedstore", "summarize", "s", "class-mean", "--name", "m", cwd=trained
    )
    shown = call("embedstore", "summarize", "s", "class-mean", "--name", "n", cwd=trained).stdout
    assert "What it hides" in shown


def test_split_prints_its_counts_and_manifest_splits_stay(line: Path, tmp_path: Path) -> None:
    for number in range(12):
        save(tmp_path / "p" / f"{number}.png", number)
    rows = [f"{number}.png,{'a' if number % 2 else 'b'},{'aside' if number < 3 else ''}" for number in range(12)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,split", *rows]), "utf-8")
    call("embedstore", "build", "s", "p", "--manifest", "m.csv", "--teacher", "pixels", cwd=tmp_path)
    plan = json.loads(call("embedstore", "split", "s", "--folds", "3", "--json", cwd=tmp_path).stdout)
    assert plan["counts"]["aside"] == 3
    assert sum(plan["counts"].values()) == 12
    assert {side: sum(labels.values()) for side, labels in plan["labels"].items()} == plan["counts"]
    assert plan["labels"]["aside"] == {"a": 1, "b": 2}
    shown = call("embedstore", "split", "s", "--folds", "3", cwd=tmp_path).stdout
    assert "\naside  a 1, b 2\n" in shown
    sentence = refused("embedstore", "split", "s", "--folds", "10", cwd=tmp_path)
    assert "10 folds need as many groups, and the store has 9 (a picture without a group is one); use fewer" in sentence
    call("embedstore", "split", "s", "--folds", "9", cwd=tmp_path)
    assert any("no group" in remark for remark in plan["remarks"])


def test_train_prints_a_report_that_evaluate_repeats(trained: Path) -> None:
    report = json.loads((trained / "run" / "report.json").read_text("utf-8"))
    again = json.loads(call("distill", "evaluate", "run", "--json", cwd=trained).stdout)
    remarks = remarks_on(Report.from_dict(report))
    assert again == report | {"remarks": remarks}
    shown = call("distill", "evaluate", "run", cwd=trained).stdout
    assert "stripe" in shown
    assert "overkill" in shown
    assert all(one in shown for one in remarks)


def test_train_without_a_written_split_says_that_it_made_one(line: Path, tmp_path: Path) -> None:
    call(
        "embedstore",
        "build",
        tmp_path / "s",
        "photos",
        "--manifest",
        "photos.csv",
        "--teacher",
        "pixels",
        "--views",
        "0",
        cwd=line,
    )
    short = ("--epochs", "1", "--size", "32")
    result = call("distill", "train", tmp_path / "s", "--policy", "none", "--out", tmp_path / "run", *short, cwd=line)
    assert "The store has no written split, so this run made one by group with seed 0" in result.stdout


def test_train_resumes_and_refuses_to_overwrite(trained: Path) -> None:
    same = ("distill", "train", "s", "--policy", "own", "--out", "run", "--good", "good", "--size", "32")
    assert "already holds a run" in refused(*same, "--epochs", "2", cwd=trained)
    assert "epochs = 2, not 3" in refused(*same, "--epochs", "3", "--resume", cwd=trained)


def test_python_as_in_the_issue(trained: Path) -> None:
    import embedstore

    with embedstore.open(trained / "s") as store:
        assert len(store) == len(store.ids) == len(store.labels) == 60
        summary = store.summarize("class-mean")
        assert summary.vectors.shape == (2, store.dim)
        assert summary.labels == ["defect", "good"]
        assert sum(summary.counts) == 60
        assert set(summary.averaging_loss) == {"defect", "good"}
        hits = store.search(store.vectors()[:2], top=5, where={"label": "good"})
        assert [len(found) for found in hits] == [5, 5]
        assert {hit.label for found in hits for hit in found} == {"good"}


# What is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("embedstore", "build", "new", "nowhere", "--teacher", "pixels"), "does not exist"),
        (("embedstore", "build", "new", "empty", "--teacher", "pixels"), "No images under"),
        (("embedstore", "build", "new", "photos", "--teacher", "clipp"), "teacher 'clipp' is unknown"),
        (("embedstore", "build", "new", "photos", "--teacher", "pixels:x"), "takes nothing after its name"),
        (("embedstore", "build", "new", "photos", "--teacher", "timm:resnet10t@nowhere.pt"), "does not exist"),
        (("embedstore", "build", "new", "photos", "--teacher", "pixels", "--manifest", "nowhere.csv"), "does not exist"),
        (("embedstore", "build", "new", "photos", "--teacher", "pixels", "--manifest", "absent.csv"), "1 of the 2 files"),
        (("embedstore", "build", "new", "photos", "--teacher", "pixels", "--manifest", "twice.csv"), "more than once"),
        (("embedstore", "build", "new", "photos", "--teacher", "pixels", "--manifest", "leaves.csv"), "leads out of"),
        (("embedstore", "build", "new", "photos", "--teacher", "pixels", "--views", "-1"), "number of views is -1"),
        (("embedstore", "build", "new", "photos", "--teacher", "pixels", "--fit", "crop"), "fit 'crop' is unknown"),
        (("embedstore", "build", "photos", "photos", "--teacher", "pixels"), "holds other files"),
        (("embedstore", "build", "photos.csv", "photos", "--teacher", "pixels"), "is a file"),
        (("embedstore", "build", "no/such/place", "photos", "--teacher", "pixels"), "does not exist"),
        (("embedstore", "build", "s", "photos", "--no-turns"), "another recipe"),
        (("embedstore", "info", "nowhere"), "does not exist"),
        (("embedstore", "info", "photos"), "is not a store"),
        (("embedstore", "info", "photos.csv"), "is not a store"),
        (("embedstore", "info", "future"), "format version 99"),
        (("embedstore", "split", "s", "--folds", "2"), "use 3 or more"),
        (("embedstore", "summarize", "s", "class-median"), "strategy 'class-median' is unknown"),
        (("embedstore", "summarize", "s", "class-mean", "--name", "../x"), "can't be used"),
        (("embedstore", "summarize", "s", "class-mean", "--per-class", "0"), "expected 1 or more"),
        (("embedstore", "query", "s"), "Give one of --image, --id and --text"),
        (("embedstore", "query", "s", "--id", "nobody"), "has no sample 'nobody'"),
        (("embedstore", "query", "s", "--image", "photos.csv"), "is not a picture"),
        (("embedstore", "query", "s", "--text", "a crack"), "reads no text"),
        (("embedstore", "query", "s", "--id", "good/部品 1.png", "--where", "label"), "FIELD=VALUE"),
        (("embedstore", "query", "s", "--id", "good/部品 1.png", "--where", "colour=red"), "field 'colour'"),
        (("embedstore", "query", "s", "--id", "good/部品 1.png", "--where", "label=goood"), "meets the conditions; see"),
        (("embedstore", "query", "s", "--id", "good/部品 1.png", "--top", "0"), "ask for 1 or more"),
        (("distill", "train", "s", "--policy", "mean", "--out", "r"), "policy 'mean' is unknown"),
        (("distill", "train", "s", "--policy", "own", "--out", "r", "--loss", "l3"), "loss 'l3' is unknown"),
        (("distill", "train", "s", "--policy", "own", "--out", "r", "--student", "nonet"), "student 'nonet' is unknown"),
        (("distill", "train", "s", "--policy", "own", "--out", "r", "--good", "fine"), "good label 'fine'"),
        (("distill", "train", "s", "--policy", "own", "--out", "r", "--epochs", "0"), "number of epochs is 0"),
        (("distill", "train", "s", "--policy", "class-mean", "--out", "r", "--summary", "gone"), "no summary 'gone'"),
        (("distill", "train", "s", "--policy", "own", "--out", "photos"), "holds other files"),
        (("distill", "evaluate", "nowhere"), "does not exist"),
        (("distill", "evaluate", "photos"), "holds no run"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_leaves_nothing(line: Path, arguments: tuple[str, ...], words: str) -> None:
    (line / "empty").mkdir(exist_ok=True)
    (line / "future").mkdir(exist_ok=True)
    (line / "future" / "CURRENT").write_text('{"format": 99, "generation": "0001"}', "utf-8")
    name = "good/部品 1.png"
    (line / "absent.csv").write_text(f"path\n{name}\ngone.png\n", "utf-8")
    (line / "twice.csv").write_text(f"path,id\n{name},a\n{name},a\n", "utf-8")
    (line / "leaves.csv").write_text("path\n../photos.csv\n", "utf-8")
    before = sorted(path.name for path in line.iterdir())
    assert words in refused(*arguments, cwd=line)
    assert sorted(path.name for path in line.iterdir()) == before


def test_other_teachers_store_is_refused_naming_both(line: Path, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / "weights.pt")
    spec = f"timm:test_resnet@{tmp_path / 'weights.pt'}"
    sentence = refused("embedstore", "build", "s", "photos", "--manifest", "photos.csv", "--teacher", spec, cwd=line)
    assert "'pixels'" in sentence
    assert spec in sentence


def test_checkpoint_of_another_architecture_is_refused(line: Path, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / "weights.pt")
    spec = f"timm:test_vit@{tmp_path / 'weights.pt'}"
    sentence = refused("embedstore", "build", tmp_path / "new", "photos", "--teacher", spec, cwd=line)
    assert "is not of the architecture 'test_vit'" in sentence
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([""] * 6, "has a label"),
        (["one"] * 6, "are 'one'"),
        (["one", "one", "one", "one", "one", "two"], "The label 'two' has one picture only"),
    ],
)
def test_build_takes_what_train_refuses(tmp_path: Path, labels: list[str], words: str) -> None:
    for number in range(len(labels)):
        save(tmp_path / "photos" / f"{number}.png", number)
    rows = [f"{number}.png,{label}" for number, label in enumerate(labels)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label", *rows]), "utf-8")
    call("embedstore", "build", "s", "photos", "--manifest", "m.csv", "--teacher", "pixels", cwd=tmp_path)
    assert words in refused("distill", "train", "s", "--policy", "own", "--out", "run", cwd=tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "name", ["部品 (1) ‘quote’ 🔩.png", 'double"quote.png', "[bold]markup[/bold].png", "<b>.png", "-leading dash.png"]
)
def test_any_file_name_works_on_the_whole_way(tmp_path: Path, name: str) -> None:
    save(tmp_path / "写真" / "良品" / name, 1)
    save(tmp_path / "写真" / "不良" / "b.png", 2, bright=True)
    call("embedstore", "build", "店", "写真", "--teacher", "pixels", cwd=tmp_path)
    found = json.loads(call("embedstore", "query", "店", "--id", f"良品/{name}", "--json", cwd=tmp_path).stdout)
    assert [hit["id"] for hit in found] == ["不良/b.png"]
    assert f"良品/{name}" in call("embedstore", "query", "店", "--id", "不良/b.png", cwd=tmp_path).stdout
    shutil.rmtree(tmp_path / "写真" / "不良")
    removed = json.loads(call("embedstore", "build", "店", "写真", "--prune", "--json", cwd=tmp_path).stdout)
    assert (removed["removed"], removed["samples"]) == (1, 1)


def test_what_a_build_has_removed_comes_back_by_the_command_that_it_prints(tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / "photos" / "good" / f"{number}.png", number)
    call("embedstore", "build", "s", "photos", "--teacher", "pixels", cwd=tmp_path)
    for number in range(5):
        (tmp_path / "photos" / "good" / f"{number}.png").unlink()
    assert "To take that back" not in call("embedstore", "build", "s", "photos", cwd=tmp_path).stdout
    said = call("embedstore", "build", "s", "photos", "--prune", cwd=tmp_path).stdout
    assert "5 removed.\n" in said
    assert "To take that back: embedstore rollback 's' 1\n" in said
    assert "another name" not in said
    call("embedstore", "rollback", "s", "1", cwd=tmp_path)
    assert json.loads(call("embedstore", "info", "s", "--json", cwd=tmp_path).stdout)["samples"] == 6
    (tmp_path / "photos" / "good" / "5.png").rename(tmp_path / "photos" / "good" / "other.png")
    said = call("embedstore", "build", "s", "photos", cwd=tmp_path).stdout
    assert "1 picture is under another name now and no more under the old one" in said
    assert "To take that back: embedstore rollback 's' 3\n" in said
    save(tmp_path / "photos" / "good" / "new.png", 9)
    call("embedstore", "build", "s", "photos", cwd=tmp_path)
    shutil.copy(tmp_path / "photos" / "good" / "other.png", tmp_path / "photos" / "good" / "new.png")
    said = call("embedstore", "build", "s", "photos", cwd=tmp_path).stdout
    lost = "another picture has the name now, and nothing tells which the one before became: it has no other name, or several"
    assert (
        f"1 sample left with all that was known, since {lost} new ones.\nTo take that back: embedstore rollback 's' 5\n"
        in said
    )


@pytest.mark.parametrize("hidden", [False, True])
def test_ctrl_c_says_what_is_kept(hidden: bool, line: Path) -> None:
    """Where a library makes another error of it, as NumPy was seen to, it is still Ctrl-C."""
    code = (
        "import embedstore, signal, sys\n"
        "from embedstore_cli.main import main\n"
        # A job that a shell started in the background ignores SIGINT, and so would its children.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def stopped(*_, **__):\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt as error:\n"
        f"        raise {'TypeError' if hidden else 'KeyboardInterrupt'} from error\n"
        "embedstore.build = stopped\n"
        "sys.argv = ['embedstore', 'build', 's', 'photos']\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=line, capture_output=True, text=True, check=False)
    assert result.returncode == 130
    assert result.stderr.splitlines()[-1].startswith("Stopped. What was finished is kept; the same command goes on")


def test_names_reach_a_stream_that_knows_only_latin(line: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = [SCRIPTS / "embedstore", "query", "s", "--id", "good/部品 1.png", "--json"]
    result = subprocess.run(command, cwd=line, capture_output=True, check=True, env=environment)
    assert "部品" in result.stdout.decode("utf-8")


def test_a_path_that_the_system_refuses_is_one_sentence(line: Path) -> None:
    long = "x" * 300
    assert "does not exist" in refused("embedstore", "build", "new", long, "--teacher", "pixels", cwd=line)
    assert "does not exist" in refused("distill", "evaluate", long, cwd=line)
    (line / "file").write_text("", "utf-8")
    out = ("--out", "file/run", "--epochs", "1", "--size", "32")
    assert "can't be made" in refused("distill", "train", "s", "--policy", "none", *out, cwd=line)
