"""The table of size against quality in small: every row's bytes and figures by hand, and the store is only read."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import store_of
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "bench"), str(ROOT / "tools" / "study"), str(ROOT / "tools")]

import light  # noqa: E402
from light_parts import forms  # noqa: E402

import embedstore  # noqa: E402
from embedstore.vectors import unit_length  # noqa: E402

COUNT, DIM = 240, 24
RNG = np.random.default_rng(5)
DEFECT = np.arange(COUNT) // 2 % 3 == 0
GROUPS = [f"part {at // 2}" for at in range(COUNT)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two views of two pictures of each part; defects lie a little beside good ones."""
    parts = RNG.normal(size=(COUNT // 2, DIM)) + np.where(DEFECT[::2], 0.6, 0)[:, None]
    plain = np.repeat(parts, 2, axis=0) + 0.2 * RNG.normal(size=(COUNT, DIM))
    views = unit_length(np.stack([plain, plain + 0.2 * RNG.normal(size=plain.shape)]).reshape(-1, DIM))
    labels = ["defect" if one else "good" for one in DEFECT]
    path = tmp_path_factory.mktemp("light") / "store"
    store_of(path, views.reshape(2, COUNT, DIM), labels=labels, groups=GROUPS).close()
    return path


@pytest.fixture(scope="module")
def record(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    options = Namespace(store=store, good="good", study=store / "no study", parity=store / "no parity")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "DIMS", (6,))
        patch.setattr(forms, "CODES", (3,))
        patch.setattr(forms, "VIEWS", (0, 1))
        patch.setattr(light, "DRAWS", 50)
        return light.measured(options, tmp_path_factory.mktemp("work"))


def rows(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in record["forms"]}


def test_numbers_take_what_their_type_takes(record: dict[str, Any]) -> None:
    found = rows(record)
    assert {name: found[name]["numbers"] for name in found if "compressed" not in name and "rare" not in name} == {
        "class-mean, prototypes only": 2 * DIM * 2,
        "class-mean": 2 * DIM * 4,
        "sub-prototypes, 8 a label, prototypes only": 16 * DIM * 2,
        "sub-prototypes, 8 a label": 16 * DIM * 4,
        "sub-prototypes, 32 a label, prototypes only": found["sub-prototypes, 32 a label"]["numbers"] // 2,
        "sub-prototypes, 32 a label": found["sub-prototypes, 32 a label"]["numbers"],
        "light file, int8, 6 axes": COUNT * 6,
        "light file, float16, 6 axes": COUNT * 6 * 2,
        "light file, int8": COUNT * DIM,
        "store, 0 views, 6 axes": COUNT * 6 * 2,
        "store, 0 views": COUNT * DIM * 2,
        "store, 1 views": COUNT * DIM * 2 * 2,
    }
    assert found["compressed-own, 3 bytes, 1 views"]["lacks"] == 2 * DIM + 2 * DIM * 12
    assert all(one["bytes"] > one["numbers"] for one in record["forms"])
    assert [one["bytes"] for one in record["forms"]] == sorted(one["bytes"] for one in record["forms"])
    assert record["forms"][0]["name"] == "class-mean, prototypes only"


def test_the_store_is_only_read(store: Path, record: dict[str, Any]) -> None:
    with embedstore.open(store) as opened:
        assert (opened.version, opened.counts("split"), opened.summary_names) == (1, {None: COUNT}, [])
    assert record["full"]["bytes"] == sum(file.stat().st_size for file in store.rglob("*") if file.is_file())


def test_own_vectors_are_worth_what_the_rule_written_out_gives(
    store: Path, record: dict[str, Any], tmp_path: Path
) -> None:
    """Cosine to the nearest defect of the other folds, in either view, minus that to the nearest good part."""
    embedstore.thin(store, tmp_path / "copy")
    areas = []
    with embedstore.open(tmp_path / "copy") as copy:
        seen = [copy.vectors(view=view).astype(np.float64) for view in (0, 1)]
        for fold in range(5):
            copy.split(folds=5, fold=fold, seed=0)
            test = np.array(copy.field("split")) == "test"
            centre = seen[0][~test].mean(axis=0)
            kept, asked = np.concatenate([one[~test] for one in seen]) - centre, seen[0][test] - centre
            cosine = asked @ kept.T / np.outer(np.linalg.norm(asked, axis=1), np.linalg.norm(kept, axis=1))
            defect = np.tile(DEFECT[~test], 2)
            areas.append(roc_auc_score(DEFECT[test], cosine[:, defect].max(axis=1) - cosine[:, ~defect].max(axis=1)))
    found = rows(record)
    assert found["store, 1 views"]["auroc"] == pytest.approx(np.mean(areas), abs=5e-3)
    assert 0.6 < np.mean(areas) < 0.98
    assert found["store, 0 views"]["overlap"] == 1
    assert found["light file, int8"]["overlap"] > 0.97
    assert 0.3 < found["light file, int8, 6 axes"]["overlap"] < 0.95


def test_differences_are_those_to_all_views(record: dict[str, Any]) -> None:
    found = rows(record)
    assert record["protocol"]["against"] == "store, 1 views"
    assert found["store, 1 views"]["against"] == {"mean_recall": [0, 0, 0], "auroc": [0, 0, 0]}
    for one in record["forms"]:
        for name in ("mean_recall", "auroc"):
            gap, low, high = one["against"][name]
            assert gap == pytest.approx(one[name] - found["store, 1 views"][name], abs=2e-4)
            assert low <= high
    bare, whole = found["class-mean, prototypes only"], found["class-mean"]
    assert bare["mean_recall"] == whole["mean_recall"]
    assert bare["bytes"] < whole["bytes"] / 5


def test_the_table_tells_every_form(record: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    light.show(record)
    out = capsys.readouterr().out
    assert all(name in out for name in [*rows(record), light.FULL])
    assert "Against all: the difference to 'store, 1 views', 95 %" in out
    assert "to be asked, it would need its axes too" in " ".join(out.split())
