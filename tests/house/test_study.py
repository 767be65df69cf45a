"""The study itself: its conditions, what they cost in bytes, what is kept of them, and that nothing held out is looked at."""

import contextlib
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tools" / "study"), str(ROOT / "tools"), str(ROOT / "tools" / "pilot")]

import cells  # noqa: E402
import probes  # noqa: E402
import quick  # noqa: E402
import results  # noqa: E402
import screen  # noqa: E402
import search  # noqa: E402
from conditions import CONDITIONS, FOLDS, SEEDS, VIEWS, Condition  # noqa: E402
from data import DATA, MAXIMA, STANDARD, Data, Kept, build_tiles, manifest_of_share, needs_teacher, store_of  # noqa: E402
from search import METHODS, best_recipe, recipe_settings  # noqa: E402
from sizes import target_bytes  # noqa: E402

import embedstore  # noqa: E402
from distill.evaluation.report import Held  # noqa: E402
from distill.evaluation.runs import RunScores  # noqa: E402
from distill.training.run_data import make_run_data  # noqa: E402
from distill.training.settings import Settings  # noqa: E402
from embedstore import EmbeddingStore  # noqa: E402
from embedstore.errors import SettingsError  # noqa: E402
from embedstore.splits import plan_split  # noqa: E402

KEPT = ROOT / "docs" / "study"
DIM, PARTS = 8, 60


def make_store(path: Path, changed: dict[str, float] | None = None) -> EmbeddingStore:
    """Make a store of 60 parts with two pictures each, a third of them defects; some vectors are changed."""
    random = np.random.default_rng(0)
    ids = [f"{part:02}-{at}" for part in range(PARTS) for at in range(2)]
    labels = ["defect" if int(name[:2]) % 3 == 0 else "good" for name in ids]
    vectors = random.normal(size=(len(ids), DIM)) + np.array([[label == "defect"] * DIM for label in labels])
    for name, value in (changed or {}).items():
        vectors[ids.index(name)] = value * np.arange(1, DIM + 1)
    store = embedstore.create(path, teacher="given", dim=DIM)
    with store.write() as writing:
        writing.add(ids, vectors.astype(np.float32), labels=labels, groups=[f"part {name[:2]}" for name in ids])
    return store


def test_the_teachers_answers_do_not_hang_on_what_is_held_out(tmp_path: Path) -> None:
    """A held-out picture that changes moves its own score and no other of the runs that hold it out."""
    with make_store(tmp_path / "a") as store:
        sides = make_run_data(store, Settings(good="good", folds=5, fold=0)).sides
        moved = [store.samples[int(sides[side][0])].id for side in ("val", "test")]
    make_store(tmp_path / "b", dict.fromkeys(moved, 3.0)).close()
    for name in ("teacher-probe", "teacher-neighbours"):
        before, after = (
            probes.teacher_runs(tmp_path / one, name, "good", folds=5, seeds=1)[0][0].held for one in ("a", "b")
        )
        scores, others = ({one.id: one.probabilities[0] for one in held} for held in (before, after))
        differing = {one for one in scores if abs(scores[one] - others[one]) > 1e-9}
        assert differing
        assert differing <= set(moved)


def test_the_bytes_of_targets_are_those_of_the_training_side(tmp_path: Path) -> None:
    with make_store(tmp_path / "store") as store:
        training = len(make_run_data(store, Settings(good="good", folds=5)).sides["train"])
    own = Settings(policy="own", good="good")
    assert target_bytes(tmp_path / "store", own, 5) == training * 2 * DIM  # the plain view, float16
    assert target_bytes(tmp_path / "store", Settings(policy="class-mean", good="good"), 5) == 2 * 2 * DIM
    assert target_bytes(tmp_path / "store", Settings(policy="none", good="good"), 5) is None


def test_a_recipe_is_as_long_as_any_other() -> None:
    for recipes in METHODS.values():
        assert len(recipes) == 4
        for recipe in recipes.values():
            settings = recipe_settings(recipe, 30)
            assert settings["epochs"] + settings["pretrain_epochs"] == 30
    assert recipe_settings({"weight": 5.0, "pretrained": 1 / 3}, 30) == {
        "weight": 5.0,
        "epochs": 20,
        "pretrain_epochs": 10,
    }
    assert recipe_settings({"pretrained": 2 / 3}, 1) == {"epochs": 1, "pretrain_epochs": 0}


def test_the_best_recipe_is_the_one_of_the_highest_validation(tmp_path: Path) -> None:
    tried = {"own": {"a": {"recipe": {"weight": 1.0}, "val_auroc": 0.6}, "b": {"recipe": {}, "val_auroc": 0.7}}}
    (tmp_path / "search.json").write_text(json.dumps({"epochs": 30, "tried": tried}), "utf-8")
    assert best_recipe(tmp_path, "own") == ("b", {})


def test_a_recipe_of_the_screen_differs_from_its_condition_by_its_settings_alone(tmp_path: Path) -> None:
    tried = {name: {"a": {"recipe": {"weight": 5.0, "balance": 0.5}, "val_auroc": 0.7}} for name in METHODS}
    (tmp_path / "search.json").write_text(json.dumps({"epochs": 30, "tried": tried}), "utf-8")
    for one in screen.RECIPES.values():
        before = screen.RECIPES[one.of]
        assert before.settings == {}
        if "pretrained" not in one.settings:
            assert one.chosen(tmp_path, 30, 2) == replace(before.chosen(tmp_path, 30, 2), **one.settings)
    long = screen.RECIPES["own-long"].chosen(tmp_path, 30, 2)
    assert (long.epochs, long.pretrain_epochs, long.views, long.balance) == (100, 200, 32, 0.5)
    own = screen.RECIPES["own-medium"].chosen(tmp_path, 30, 2)
    assert screen.RECIPES["own-long"].chosen(tmp_path, 1, 2, folds=3, views=2) == replace(
        screen.RECIPES["own-long"].chosen(tmp_path, 1, 2), folds=3, views=2
    )
    assert (own.weight, own.balance, own.student, own.epochs, own.seed, own.fold) == (5.0, 0.5, "medium", 30, 2, 0)


def store_path(condition: Condition) -> Path:
    """Return where the store of a condition is built."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "exists", lambda _: True)
        return store_of(DATA[condition.data], Path("out"), None, Path("docs"), condition.kept)


@pytest.mark.parametrize("name", [name for name, one in CONDITIONS.items() if one.part not in {"teacher", "patches"}])
def test_a_quick_study_trains_the_same_for_one_epoch_on_as_few_views_as_its_stores_keep(
    tmp_path: Path, name: str
) -> None:
    tried = {one: {"a": {"recipe": {"weight": 5.0, "pretrained": 1 / 3}, "val_auroc": 0.7}} for one in METHODS}
    (tmp_path / "search.json").write_text(json.dumps({"epochs": 1, "tried": tried}), "utf-8")
    whole, short = CONDITIONS[name], quick.quick_condition(CONDITIONS[name])
    settings = short.chosen("good", tmp_path)
    assert settings.epochs + settings.pretrain_epochs == 1
    assert settings.views == short.kept.views == 2 < whole.kept.views
    assert all(one.get("kept_views", 0) <= 2 for one in settings.options.values())
    assert store_path(short) != store_path(whole)
    changed = {"epochs": settings.epochs, "pretrain_epochs": settings.pretrain_epochs, "views": settings.views}
    options = {
        policy: {option: value for option, value in given.items() if option != "kept_views"}
        | ({"kept_views": 2} if "kept_views" in given else {})
        for policy, given in whole.chosen("good", tmp_path).options.items()
    }
    assert settings == replace(whole.chosen("good", tmp_path), **changed, options=options)
    assert (short.name, short.method, short.of, short.only) == (whole.name, whole.method, whole.of, whole.only)


def test_each_recipe_of_the_screen_learns_from_its_own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = {name: {"a": {"recipe": {"weight": 5.0, "balance": 0.5}, "val_auroc": 0.7}} for name in METHODS}
    (tmp_path / "search.json").write_text(json.dumps({"epochs": 30, "tried": tried}), "utf-8")
    trained = dict[Path, dict[str, Settings]]()

    def note(planned: dict[Path, tuple[Path, Settings]], **_: object) -> dict[Path, float]:
        for path, (store, settings) in planned.items():
            trained.setdefault(store, {})[path.name] = settings
        return {path: (1 + list(trained).index(store)) / 10 for path, (store, _) in planned.items()}

    monkeypatch.setattr(screen, "validation_aurocs", note)
    screen.screen(lambda one: Path(one.data.name, one.kept.name), tmp_path / "runs", tmp_path, jobs=1, seeds=2)
    usual, grid, maxima, with_cells = trained  # in the order of the recipes
    assert (grid, maxima) == (Path("magnetic-tile", "grid"), Path("magnetic-tile", "maxima"))
    assert with_cells == Path("magnetic-tile-and-cells", "few-views")
    assert set(trained[grid]) == {"own-grid-seed0", "own-grid-seed1"}
    assert set(trained[maxima]) == {"own-maxima-seed0", "own-maxima-seed1"}
    assert set(trained[with_cells]) == {"own-third-cells-seed0", "own-third-cells-seed1"}
    assert len(trained[usual]) == 2 * (len(screen.RECIPES) - 3)
    with_them, without = trained[with_cells]["own-third-cells-seed1"], trained[usual]["own-third-seed1"]
    assert with_them == without
    assert (without.epochs, without.pretrain_epochs, without.seed) == (20, 10, 1)
    found = json.loads((tmp_path / "screen.json").read_text("utf-8"))["tried"]
    assert found["own-third-cells"] == {"of": "own-third", "val_auroc": [0.4, 0.4]}
    assert found["own-third"] == {"of": "own", "val_auroc": [0.1, 0.1]}


def test_the_screen_goes_on_from_what_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = {name: {"a": {"recipe": {}, "val_auroc": 0.7}} for name in METHODS}
    (tmp_path / "search.json").write_text(json.dumps({"epochs": 30, "tried": tried}), "utf-8")
    trained: list[str] = []

    def reach(planned: dict[Path, tuple[Path, Settings]], **_: object) -> dict[Path, float]:
        if any(path.name.endswith("seed1") for path in planned) and len(trained) == len(screen.RECIPES):
            raise KeyboardInterrupt
        trained.extend(path.name for path in planned)
        return {path: 0.5 + 0.1 * settings.seed for path, (_, settings) in planned.items()}

    monkeypatch.setattr(screen, "validation_aurocs", reach)
    with pytest.raises(KeyboardInterrupt):
        screen.screen(lambda _: tmp_path, tmp_path / "runs", tmp_path, jobs=1, seeds=2)
    half = json.loads((tmp_path / "screen.json").read_text("utf-8"))
    assert all(told["val_auroc"] == [0.5] for told in half["tried"].values())
    trained.append("interrupted")
    screen.screen(lambda _: tmp_path, tmp_path / "other runs", tmp_path, jobs=1, seeds=2)
    assert trained[trained.index("interrupted") + 1 :] == [f"{name}-seed1" for name in screen.RECIPES]
    whole = json.loads((tmp_path / "screen.json").read_text("utf-8"))
    assert all(told["val_auroc"] == [0.5, 0.6] for told in whole["tried"].values())
    with pytest.raises(SettingsError, match="of 30 epochs, not of 20"):
        screen.screen(lambda _: tmp_path, tmp_path / "runs", tmp_path, jobs=1, epochs=20)


def test_unlabelled_cells_stand_beside_the_tiles_and_change_no_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("elpv_dataset", reason="the extra 'pilot' carries the cells")
    monkeypatch.setattr(cells, "CELLS", 10)
    tiles = tmp_path / "tiles"
    (tiles / "Free").mkdir(parents=True)
    names = [f"Free/{number}.png" for number in range(12)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((32, 32), 20 * number, np.uint8)).save(tiles / name)
    rows = "".join(f"{name},{'good' if number % 2 else 'defect'},,{number}\n" for number, name in enumerate(names))
    (tiles / "manifest.csv").write_text(f"path,label,mode,group\n{rows}", "utf-8")
    kept = Kept("toy", teacher="pixels", views=1)
    (tmp_path / "both").mkdir()
    cells.WITH_CELLS.build(tmp_path / "both" / "store", tiles, kept)
    build_tiles(tmp_path / "store", tiles, kept)
    with embedstore.open(tmp_path / "both" / "store") as both, embedstore.open(tmp_path / "store") as alone:
        assert both.counts("label") == {"good": 6, "defect": 6, None: 10}
        assert {one.id for one in both.samples if one.label is None} == {
            one for one in both.ids if one.startswith("cells/")
        }
        for fold in range(FOLDS):
            dealt, before = (plan_split(of.samples, folds=FOLDS, fold=fold).splits for of in (both, alone))
            assert {name: dealt[name] for name in before} == before
    begun = [[name, "good", None, f"united {number // 2}"] for number, name in enumerate(names)]
    (tmp_path / "magnetic-tile").mkdir()
    (tmp_path / "magnetic-tile" / "samples.json").write_text(json.dumps(begun), "utf-8")
    cells.WITH_CELLS.change(tmp_path / "both" / "store", tiles, tmp_path)
    with embedstore.open(tmp_path / "both" / "store") as both:
        groups = {one.id: one.group for one in both.samples}
    assert {groups.pop(name) for name in names} == {f"united {number}" for number in range(6)}
    assert set(groups.values()) == {None}
    monkeypatch.undo()
    assert cells.CELLS % FOLDS == 0


def test_a_quick_study_looks_at_a_share_of_the_parts_of_each_kind(tmp_path: Path) -> None:
    kinds = ["Free"] * 5 + ["Crack"] * 2 + ["Fray"]
    rows = [f"{kind}/{part}-{at}.png,{kind},{part}" for part, kind in enumerate(kinds) for at in range(3)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,group", *rows]), "utf-8")
    first, second = (
        manifest_of_share(tmp_path / "manifest.csv", 0.4, tmp_path / name).read_text("utf-8").splitlines()
        for name in ("a", "b")
    )
    assert first == second
    assert first[0] == "path,label,group"
    assert set(first[1:]) < set(rows)
    assert Counter(row.split(",")[1] for row in first[1:]) == {"Free": 2 * 3, "Crack": 3, "Fray": 3}
    assert set(Counter(row.split(",")[2] for row in first[1:]).values()) == {3}  # whole parts


def test_a_recipe_is_judged_by_its_last_epochs_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"val_auroc": area} for area in (0.1, 0.5, 0.6, 0.7, 0.8, 0.9)]
    trained = list[Path]()
    monkeypatch.setattr(search, "train_apart", lambda store, path, *_, **__: trained.append(path))
    monkeypatch.setattr(search, "is_complete", lambda path: path.name == "done")
    monkeypatch.setattr(search, "read", lambda _: {"settings": Settings(good="good").to_dict()})
    monkeypatch.setattr(search, "read_metrics", lambda _: rows)
    store, short = tmp_path / "store", Settings(good="good")
    planned = {tmp_path / name: (store, short) for name in ("done", "new")}
    planned |= {tmp_path / "long": (store, replace(short, epochs=50, pretrain_epochs=100))}
    told = list[tuple[int, int]]()
    areas = search.validation_aurocs(planned, images=None, jobs=1, progress=lambda *far: told.append(far))
    assert (trained, told) == ([tmp_path / "long", tmp_path / "new"], [(0, 3), (1, 3), (2, 3), (3, 3)])
    assert areas == dict.fromkeys(planned, 0.7)
    with pytest.raises(SettingsError, match="is of another recipe than is asked for now; delete it"):
        search.validation_aurocs(
            {tmp_path / "done": (store, replace(short, seed=1))}, images=None, jobs=1, progress=lambda *_: None
        )


@pytest.mark.parametrize("score", [0.0, 1e-300, 0.25, 0.5, 1 - 1e-9, 1.0])
def test_scores_are_kept_in_their_order(score: float, tmp_path: Path) -> None:
    samples = [embedstore.Sample(name, name, "good", None, None) for name in ("a", "b")]
    results.write_samples(tmp_path, samples)
    held = [
        Held("a", "test", "good", None, None, (score, 1 - score)),
        Held("b", "val", "good", None, None, (1 - score, score)),
    ]
    run = RunScores("way", 0, 0, held, ["other", "good"], 1.5, None, (), 1)
    about = {"good": "good", "peak_memory": None, "curve": []}
    results.write(tmp_path, "way", about, [run], "good")
    (found,) = results.read(tmp_path)["way"].runs
    assert (found.fold, found.seed, found.val_fold, found.seconds) == (0, 0, 1, 1.5)
    for before, after in zip(held, found.held, strict=True):
        assert (after.id, after.side, after.label, after.mode) == (before.id, before.side, "good", "good")
        assert after.probabilities[0] == pytest.approx(before.probabilities[0], abs=2.5e-4)


def test_other_samples_are_refused(tmp_path: Path) -> None:
    results.write_samples(tmp_path, [embedstore.Sample("a", "a", "good", None, None)])
    with pytest.raises(ValueError, match="is of other pictures, labels or groups than the store; delete the store"):
        results.write_samples(tmp_path, [embedstore.Sample("a", "a", "defect", None, None)])


@pytest.mark.parametrize("data", [name for name in DATA if (KEPT / name / "samples.json").exists()])
def test_what_is_kept_was_trained_by_todays_conditions(data: str) -> None:
    """A condition that is edited must be trained again: its JSON would stay as it is, and pass for the new one's."""
    for name, one in results.read(KEPT / data).items():
        condition = CONDITIONS[f"{data}/{name}"]
        assert (one.about["part"], one.about["method"], one.about["recipe"]) == (
            condition.part,
            condition.method,
            condition.recipe,
        )
        every = {(fold, seed) for fold in range(FOLDS) for seed in range(SEEDS)}
        assert {(run.fold, run.seed) for run in one.runs} == set(condition.only or every)
        if condition.part in ("teacher", "patches"):
            continue
        trained = CONDITIONS[f"{data}/{condition.of or name}"]
        wanted = json.loads(json.dumps(trained.chosen(DATA[data].good, KEPT / "magnetic-tile").to_dict()))
        plain = json.loads(json.dumps(Settings().to_dict()))  # what an earlier commit did not know was as it is now
        assert plain | one.about["settings"] == wanted
        assert one.about["settings"]["views"] in (VIEWS, 32)


def test_each_kind_of_store_is_built_once_and_then_changed_for_each_data(tmp_path: Path) -> None:
    """What the teacher saw is copied; another teacher, or further outputs, is another store."""
    built = []

    def build(path: Path, folder: Path | None, kept: Kept) -> None:
        built.append((path.parent.name, kept.name))
        make_store(path).close()

    def all_aside(path: Path, folder: Path | None, docs: Path) -> None:
        with embedstore.open(path) as store, store.write("aside") as changes:
            changes.set("split", dict.fromkeys(store.ids, "aside"))

    plain, changed = Data("plain", "good", "as built", build=build), Data("changed", "good", "aside", all_aside, build)
    with pytest.MonkeyPatch.context() as patch:
        for one in (plain, changed):
            patch.setitem(DATA, one.name, one)
        looks = [needs_teacher(plain, tmp_path, STANDARD)]
        paths = [store_of(one, tmp_path, None, tmp_path) for one in (plain, changed, plain)]
        looks += [needs_teacher(changed, tmp_path, kept) for kept in (STANDARD, MAXIMA)]
        paths.append(store_of(changed, tmp_path, None, tmp_path, MAXIMA))
        looks += [needs_teacher(plain, tmp_path, MAXIMA)]
    assert looks == [True, False, True, False]
    assert built == [("plain", "standard"), ("changed", "maxima")]
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "plain/store", "changed/store", "plain/store", "changed/store-maxima",
    ]  # fmt: skip
    for path, side in zip(paths, (None, "aside", None, "aside"), strict=True):
        with embedstore.open(path) as store:
            assert {one.split for one in store.samples} == {side}


def test_an_interrupted_store_goes_on_and_an_interrupted_copy_begins_anew(tmp_path: Path) -> None:
    there: list[set[str]] = []

    def interrupted(path: Path, *_: object) -> None:
        """Fail twice, once in the midst of it and once at its end."""
        with contextlib.closing(embedstore.open(path) if path.exists() else make_store(path)) as store:
            there.append({one.label or "" for one in store.samples})
            if len(there) == 1:
                with store.write("as far as it came") as changes:
                    changes.set("label", dict.fromkeys(store.ids, "seen"))
        if len(there) < 3:
            raise KeyboardInterrupt

    def begin(one: Data) -> Path:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return store_of(one, tmp_path, None, tmp_path)

    plain = Data("plain", "good", "as built", build=interrupted)
    torn = Data("torn", "good", "a copy", change=interrupted, build=interrupted)
    with pytest.MonkeyPatch.context() as patch:
        for one in (plain, torn):
            patch.setitem(DATA, one.name, one)
        begin(plain)
        assert there == [{"good", "defect"}, {"seen"}, {"seen"}]
        there.clear()
        with embedstore.open(tmp_path / "plain" / "store") as store, store.write("again") as changes:
            changes.set("label", dict.fromkeys(store.ids, "whole"))
        copied = begin(torn)
    assert there == [{"whole"}] * 3  # and not what the first of them made of the copy
    assert sorted(path.name for path in copied.parent.iterdir()) == ["store"]


def test_stores_of_tiles_need_their_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tell where its pictures are: --tiles DIR"):
        store_of(DATA["magnetic-tile"], tmp_path, None, tmp_path)


def test_further_outputs_count_among_the_bytes(tmp_path: Path) -> None:
    with make_store(tmp_path / "store") as store:
        training = len(make_run_data(store, Settings(good="good", folds=5)).sides["train"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(EmbeddingStore, "outputs", {"embedding": DIM, "maxima": 3 * DIM})
            both = Settings(policy="own", good="good", options={"own": {"outputs": "embedding, maxima"}})
            assert target_bytes(tmp_path / "store", both, 5) == training * 2 * 4 * DIM
