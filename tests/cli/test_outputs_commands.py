"""A store of several outputs through the commands: built, asked, added to, compacted, damaged, mended, trained from."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_commands import call, refused, save

import embedstore
from embedstore.store.layout import read_current

OUTPUTS = {"embedding": 96, "maxima": 240, "grid": 3072}  # of timm's test_resnet


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 24 photos, and a store of them with all outputs and one augmented view."""
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    place = tmp_path_factory.mktemp("outputs")
    for number in range(24):
        save(
            place / "photos" / ("bad" if number % 3 == 0 else "good") / f"{number:02}.png",
            number,
            bright=not number % 3,
        )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.save(timm.create_model("test_resnet", num_classes=3).state_dict(), place / "w.pt")
    options = '[policies.own]\noutputs = "embedding, maxima"\n'
    (place / "task.toml").write_text(f'policy = "own"\ngood = "good"\nsize = 32\nepochs = 1\n{options}', "utf-8")
    teacher = ("--teacher", "timm:test_resnet@w.pt", "--views", "1")
    shown = call("embedstore", "build", "s", "photos", *teacher, "--outputs", "maxima, grid", cwd=place).stdout
    assert "Of each view the store keeps embedding (96), maxima (240), grid (3072)." in shown
    return place


def report(line: Path, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(*arguments, "--json", cwd=line).stdout)
    return found


def test_info_tells_the_outputs(line: Path) -> None:
    assert report(line, "embedstore", "info", "s")["outputs"] == OUTPUTS
    shown = call("embedstore", "info", "s", cwd=line).stdout
    assert "\noutputs     embedding (96), maxima (240), grid (3072)\n" in shown
    assert "incomplete" not in shown


def test_what_changes_a_store_keeps_its_outputs(line: Path) -> None:
    shutil.copytree(line / "s", line / "changed.store")
    save(line / "photos/good/new.png", 77)
    added = report(line, "embedstore", "add", "changed.store", "photos/good/new.png")
    assert (added["new"], added["embedded"], added["outputs"]) == (1, 2, OUTPUTS)
    call("embedstore", "delete", "changed.store", "bad/00.png", cwd=line)
    call("embedstore", "compact", "changed.store", cwd=line)
    call("embedstore", "verify", "changed.store", cwd=line)
    hit = report(line, "embedstore", "query", "changed.store", "--image", "photos/good/new.png", "--top", 1)
    assert "good/new.png" in json.dumps(hit)
    built = report(line, "embedstore", "build", "changed.store", "photos", "--views", 2)  # without --outputs
    assert (built["new"], built["embedded"], built["outputs"]) == (1, 3 + 24, OUTPUTS)
    with embedstore.open(line / "changed.store") as changed, embedstore.open(line / "s") as store:
        common = [name for name in store.ids if name != "bad/00.png"]
        for output, dim in OUTPUTS.items():
            for view in (0, 1):
                expected = store.vectors(common, view=view, output=output)
                np.testing.assert_array_equal(changed.vectors(common, view=view, output=output), expected)
            assert changed.vectors(view=2, output=output).shape == (25, dim)
    (line / "photos/good/new.png").unlink()


def test_damage_in_an_output_is_found_and_mended(line: Path) -> None:
    shutil.copytree(line / "s", line / "damaged.store")
    with embedstore.open(line / "damaged.store") as store:
        vector = store.read(np.array([7]), view=1, output="maxima").astype(np.float16).tobytes()
        before = {(output, view): store.vectors(view=view, output=output) for output in OUTPUTS for view in (0, 1)}
    file = read_current(line / "damaged.store") / "data.mdb"
    data = file.read_bytes()
    assert data.count(vector) == 1
    at = data.index(vector)
    file.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    assert "view 1 of 'maxima'" in call("embedstore", "verify", "damaged.store", cwd=line, code=1).stdout
    shutil.copytree(line / "damaged.store", line / "told.store")
    told = report(line, "embedstore", "repair", "damaged.store")
    assert (told["samples"], told["embed_again"], told["outputs_incomplete"]) == (24, [], ["maxima"])
    assert (told["version"], told["closed"]) == (2, [1])
    shown = call("embedstore", "repair", "told.store", cwd=line).stdout
    said = "Of maxima vectors were lost; no sample left for that. They come back by:\n  embedstore build 'told.store' IMAGES\n"
    assert said in shown
    call("embedstore", "verify", "damaged.store", cwd=line)
    shown = call("embedstore", "info", "damaged.store", cwd=line).stdout
    assert "\noutputs     embedding (96), grid (3072)\n" in shown
    assert (
        "\nincomplete  maxima: not all samples have it; run the same embedstore build again; where pictures are"
        in shown
    )
    built = report(line, "embedstore", "build", "damaged.store", "photos")
    assert (built["embedded"], built["outputs"], built["outputs_incomplete"]) == (24, OUTPUTS, [])
    call("embedstore", "verify", "damaged.store", cwd=line)
    with embedstore.open(line / "damaged.store") as store, embedstore.open(line / "s") as whole:
        assert len(store) == 24
        assert store.ids == whole.ids
        for (output, view), expected in before.items():
            np.testing.assert_allclose(store.vectors(view=view, output=output), expected, atol=1e-3)


def test_a_student_learns_from_them(line: Path) -> None:
    shutil.copytree(line / "s", line / "split.store")
    call("embedstore", "split", "split.store", "--folds", 3, cwd=line)
    call("distill", "train", "split.store", "--task", "task.toml", "--out", "run", cwd=line)
    settings = json.loads((line / "run" / "run.json").read_text("utf-8"))["settings"]
    assert settings["options"] == {"own": {"outputs": "embedding, maxima"}}


def test_refusals(line: Path) -> None:
    said = refused("embedstore", "build", "n", "photos", "--teacher", "pixels", "--outputs", "max", cwd=line)
    assert "The output 'max' is unknown; beside embedding, a teacher may give maxima and grid." in said
    assert "The output '' is unknown" in refused("embedstore", "build", "s", "photos", "--outputs", "", cwd=line)
    assert not (line / "n").exists()
    call("embedstore", "build", "plain", "photos", "--teacher", "pixels", "--views", 0, cwd=line)
    said = refused("embedstore", "build", "plain", "photos", "--outputs", "grid", cwd=line)
    assert "The teacher 'pixels' can't give grid: it has no stages; leave them out, or take another teacher." in said
    said = refused("distill", "train", "plain", "--task", "task.toml", "--out", "none", cwd=line)
    assert (
        "'plain' has no output 'maxima' of all its views (it has embedding); where its teacher gives that, add" in said
    )
