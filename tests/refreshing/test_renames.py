"""A file that was renamed takes along what people said of it, so no review is lost and no test picture is learned."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from helpers import noise_picture, write_picture, write_pictures

import embedstore
from embedstore.errors import ImagesError, SettingsError
from embedstore.exports import export
from embedstore.imports import import_vectors
from embedstore.refreshing import Plan, work
from embedstore.triage import Verdict, triage

NAMES = [f"good/{number}.png" for number in range(8)] + ["defect/0.png", "defect/1.png"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with a split, groups and verdicts, and its pictures."""
    write_pictures(tmp_path / "images", NAMES)
    embedstore.build(tmp_path / "s", tmp_path / "images", teacher="pixels", views=0)
    with embedstore.open(tmp_path / "s") as store:
        with store.write() as changes:
            changes.set("group", {name: f"part {number}" for number, name in enumerate(NAMES)})
            changes.set("split", {name: "test" if number % 2 else "train" for number, name in enumerate(NAMES)})
        triage(store, {"good/0.png": Verdict("dirt"), "good/1.png": Verdict("wrong-label", "defect")})
    return tmp_path


def facts(root: Path, name: str) -> tuple[str | None, ...]:
    with embedstore.open(root / "s") as store:
        one = store.sample(name)
        return one.label, one.group, one.split, one.attributes.get("verdict")


@pytest.mark.parametrize("how", ["build", "refresh"])
def test_verdict_label_part_and_side_go_along(root: Path, how: str) -> None:
    for number in (0, 1, 3):
        (root / "images" / f"good/{number}.png").rename(root / "images" / f"good/renamed {number}.png")
    if how == "build":
        embedstore.build(root / "s", root / "images", prune=True)
    else:
        plan = embedstore.refresh(root / "s", side="train", prune=True).plan
        assert (plan.moved, len(plan.gone)) == (3, 3)
    assert facts(root, "good/renamed 0.png") == ("good", "part 0", "aside", "dirt")
    assert facts(root, "good/renamed 1.png") == ("defect", "part 1", "test", "wrong-label")
    assert facts(root, "good/renamed 3.png") == ("good", "part 3", "test", None)
    with embedstore.open(root / "s") as store:
        assert len(store) == len(NAMES)


def test_a_file_that_moves_to_another_folder_gets_its_label(root: Path) -> None:
    (root / "images" / "good/5.png").rename(root / "images" / "defect/5.png")
    embedstore.build(root / "s", root / "images", prune=True)
    assert facts(root, "defect/5.png") == ("defect", "part 5", "test", None)


@pytest.mark.parametrize("how", ["build", "refresh"])
def test_a_label_that_is_corrected_by_moving_the_file_stands_alone(root: Path, how: str) -> None:
    """Nothing is pruned, and still no picture stays under both labels; what is gone altogether stays."""
    (root / "images" / "good/5.png").rename(root / "images" / "defect/5.png")
    (root / "images" / "good/6.png").rename(root / "images" / "good/renamed 6.png")
    (root / "images" / "good/7.png").unlink()
    if how == "build":
        report = embedstore.build(root / "s", root / "images")
        assert (report.new, report.moved, report.removed, report.gone) == (2, 2, 2, 1)
    else:
        plan = embedstore.refresh(root / "s").plan
        assert (len(plan.new), plan.moved, plan.moved_to_another_label, len(plan.gone)) == (2, 2, 1, 3)
        assert plan.labels == {"good": (7, 6), "defect": (3, 4)}
    with embedstore.open(root / "s") as store:
        names = {*NAMES, "defect/5.png", "good/renamed 6.png"} - {"good/5.png", "good/6.png"}
        assert set(store.ids) == names
    assert facts(root, "defect/5.png") == ("defect", "part 5", "test", None)
    assert embedstore.refresh(root / "s").plan.nothing
    assert embedstore.rollback(root / "s", 3).back == 2


def test_a_folder_that_is_renamed_is_no_lost_disk(root: Path) -> None:
    (root / "images" / "good").rename(root / "images" / "fine")
    assert embedstore.refresh(root / "s", prune=True).plan.moved == 8
    assert facts(root, "fine/5.png") == ("fine", "part 5", "test", None)


def test_where_nothing_tells_which_became_which_nothing_goes_along(root: Path) -> None:
    picture = root / "images" / "good/1.png"
    for copy in ("good/a.png", "good/b.png"):
        (root / "images" / copy).write_bytes(picture.read_bytes())
    picture.unlink()
    embedstore.build(root / "s", root / "images", prune=True)
    assert facts(root, "good/a.png") == ("good", None, None, None)


@pytest.mark.parametrize("how", ["build", "refresh", "add"])
def test_a_new_picture_has_nothing_of_one_that_has_several_new_names(root: Path, how: str) -> None:
    images, names = root / "images", ["good/1.png", "good/a.png", "good/b.png"]
    for copy in names[1:]:
        (images / copy).write_bytes((images / "good/1.png").read_bytes())
    write_pictures(images, ["good/1.png"], seed=9)
    report: embedstore.BuildReport | Plan
    if how == "build":
        report = embedstore.build(root / "s", images)
    elif how == "add":
        report = embedstore.add(root / "s", [images / name for name in names])
    else:
        report = embedstore.refresh(root / "s").plan
    assert (report.moved, report.overwritten, report.verdicts_dropped) == (0, 1, ())
    assert {name: facts(root, name) for name in names} == dict.fromkeys(names, ("good", None, None, None))


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("interrupted", "dealt"), [(False, True), (True, True), (True, False)])
def test_copies_of_a_test_picture_that_left_are_not_learned(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, again: bool, interrupted: bool, dealt: bool
) -> None:
    images = root / "images"
    for copy in ("good/a.png", "good/b.png"):
        (images / copy).write_bytes((images / "good/3.png").read_bytes())
    (images / "good/3.png").unlink()
    if again:
        write_pictures(images, ["good/3.png"], seed=9)
    if interrupted:  # after the step that they leave with, and then something else is changed
        with embedstore.open(root / "s") as store:
            store.summarize("class-mean", name="mean")
        with monkeypatch.context() as patched:
            patched.setattr(work, "update", interrupt)
            with pytest.raises(KeyboardInterrupt):
                embedstore.refresh(root / "s", side="train" if dealt else None, prune=True)
        with embedstore.open(root / "s") as store, store.write() as changes:
            changes.set("mode", {"good/5.png": "scratch"})
        if dealt:  # else only the version before tells
            with embedstore.open(root / "s") as store:
                (tag,) = store.tags
                store.delete_tag(tag)
                store.compact()
    embedstore.refresh(root / "s", side="train", prune=True)
    assert [facts(root, f"good/{copy}.png")[2] for copy in "ab"] == ["test", "test"]
    assert not again or facts(root, "good/3.png") == ("good", None, "train", None)


def test_a_build_before_the_refresh_makes_no_difference_to_copies(root: Path) -> None:
    images = root / "images"
    for copy in ("good/a.png", "good/b.png"):
        (images / copy).write_bytes((images / "good/3.png").read_bytes())
    (images / "good/3.png").unlink()
    embedstore.build(root / "s", images, prune=True)
    assert embedstore.refresh(root / "s", side="train").sides == 2
    assert [facts(root, f"good/{copy}.png")[2] for copy in "ab"] == ["test", "test"]


def test_the_side_that_a_picture_had_last_counts_for_its_copies(root: Path) -> None:
    """An unrelated picture came without a side when it was still tested."""
    images = root / "images"
    write_pictures(images, ["good/other.png"], seed=9)
    embedstore.build(root / "s", images)
    with embedstore.open(root / "s") as store, store.write() as changes:
        changes.set("split", {"good/3.png": "train"})
    for copy in ("good/a.png", "good/b.png"):
        (images / copy).write_bytes((images / "good/3.png").read_bytes())
    (images / "good/3.png").unlink()
    embedstore.build(root / "s", images, prune=True)
    embedstore.refresh(root / "s", side="val")
    assert [facts(root, f"good/{name}.png")[2] for name in ("a", "b", "other")] == ["train", "train", "val"]


@pytest.mark.parametrize("side", ["train", "val"])
def test_copies_that_come_together_go_to_one_side(root: Path, side: str) -> None:
    """One is of a group on test; one is a copy of it, one a group mate of that, and one a copy of that mate."""
    new = {"good/a.png": "part 3", "good/b.png": "new", "good/c.png": "new", "good/d.png": "", "good/e.png": ""}
    write_pictures(root / "images", list(new), seed=9)
    for copy, of in (("b", "a"), ("d", "c")):
        (root / "images" / f"good/{copy}.png").write_bytes((root / "images" / f"good/{of}.png").read_bytes())
    rows = [f"{name},{name.split('/')[0]},{new.get(name, '')}" for name in [*NAMES, *new]]
    (root / "parts.csv").write_text("\n".join(["path,label,group", *rows]), "utf-8")
    embedstore.refresh(root / "s", manifest=root / "parts.csv", side=side)
    assert {name: facts(root, name)[2] for name in new} == dict.fromkeys(new, "test") | {"good/e.png": side}


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def renumber(images: Path) -> None:
    """Delete the first of the good ones, and give each of the others the number before its own."""
    (images / "good/0.png").unlink()
    for number in range(1, 8):
        (images / f"good/{number}.png").rename(images / f"good/{number - 1}.png")


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("how", ["build", "refresh"])
def test_names_that_are_numbered_anew_put_nothing_on_another_picture(root: Path, how: str, prune: bool) -> None:
    before = {number: facts(root, f"good/{number}.png") for number in range(8)}
    renumber(root / "images")
    if how == "build":
        report = embedstore.build(root / "s", root / "images", prune=prune)
        assert (report.new, report.changed, report.updated, report.removed, report.gone) == (0, 7, 0, 1, 0)
        assert (report.moved, report.overwritten) == (7, 1)
    else:
        plan = embedstore.refresh(root / "s", prune=prune).plan
        assert (len(plan.changed), plan.moved, plan.overwritten) == (7, 7, 1)
        assert (plan.gone, plan.without_picture, plan.without_side, plan.without_group) == (("good/7.png",), 0, 0, 0)
        assert plan.labels == {"good": (7, 6)}
    assert {number: facts(root, f"good/{number - 1}.png") for number in range(1, 8)} == {
        number: said for number, said in before.items() if number
    }
    with embedstore.open(root / "s") as store:
        assert set(store.ids) == {*NAMES} - {"good/7.png"}
    assert embedstore.refresh(root / "s").plan.nothing


def swap(images: Path) -> None:
    """Swap the names of a good and a defective picture."""
    for one, other in (("good/1.png", "spare"), ("defect/0.png", "good/1.png"), ("spare", "defect/0.png")):
        (images / one).rename(images / other)


@pytest.mark.parametrize("how", ["build", "add"])
def test_names_that_were_swapped_swap_what_was_said(root: Path, how: str) -> None:
    images = root / "images"
    swap(images)
    if how == "build":
        report = embedstore.build(root / "s", images)
    else:
        report = embedstore.add(root / "s", [images / "good", images / "defect"])
    assert (report.moved, report.changed, report.removed, report.overwritten) == (2, 2, 0, 0)
    assert facts(root, "defect/0.png") == ("defect", "part 1", "test", "wrong-label")
    assert facts(root, "good/1.png") == ("good", "part 8", "train", None)


def test_a_picture_that_moved_leaves_nothing_to_a_new_one_under_its_name(root: Path) -> None:
    images = root / "images"
    (images / "good/1.png").rename(images / "good/a.png")
    write_picture(images / "good/1.png", noise_picture(55))
    plan = embedstore.refresh(root / "s", side="train").plan
    assert (plan.new, plan.changed, plan.moved, plan.overwritten) == (("good/a.png",), ("good/1.png",), 1, 0)
    assert plan.without_group == 1
    assert facts(root, "good/a.png") == ("defect", "part 1", "test", "wrong-label")
    assert facts(root, "good/1.png") == ("good", None, "train", None)


def test_a_copy_under_a_known_name_is_a_new_picture(root: Path) -> None:
    (root / "images" / "good/1.png").write_bytes((root / "images" / "good/2.png").read_bytes())
    report = embedstore.build(root / "s", root / "images")
    assert (report.changed, report.moved, report.overwritten) == (1, 0, 1)
    assert facts(root, "good/1.png") == ("good", None, None, None)
    assert facts(root, "good/2.png") == ("good", "part 2", "train", None)


def test_of_several_with_the_same_bytes_the_one_whose_name_is_gone_moved(root: Path) -> None:
    images = root / "images"
    (images / "good/a.png").write_bytes((images / "good/1.png").read_bytes())
    embedstore.build(root / "s", images)
    (images / "good/1.png").rename(images / "good/b.png")
    write_picture(images / "good/a.png", noise_picture(56))
    assert embedstore.build(root / "s", images).moved == 1
    assert facts(root, "good/b.png") == ("defect", "part 1", "test", "wrong-label")


def test_who_is_renamed_again_keeps_what_was_said(root: Path) -> None:
    for before, after in (("good/1.png", "good/1b.png"), ("good/1b.png", "good/1c.png")):
        (root / "images" / before).rename(root / "images" / after)
        embedstore.build(root / "s", root / "images")
    assert facts(root, "good/1c.png") == ("defect", "part 1", "test", "wrong-label")
    with embedstore.open(root / "s") as store:
        assert len(store) == len(NAMES)


def test_a_part_comes_to_one_side_whatever_it_is_a_copy_of(root: Path) -> None:
    """The copy of a test picture takes its part along, but for a part that is learned already; one of dirt is set aside."""
    manifest, images = root / "more.csv", root / "images"
    with embedstore.open(root / "s") as store:
        rows = [f"{one.id},{one.label},{one.group},{one.split}" for one in store.samples]
    for copy, of in (("a/copy.png", "good/3.png"), ("a/old.png", "good/5.png"), ("a/dirt.png", "good/0.png")):
        (images / "a").mkdir(exist_ok=True)
        (images / copy).write_bytes((images / of).read_bytes())
    write_picture(images / "a/mate.png", noise_picture(78))
    rows += ["a/mate.png,good,new,", "a/copy.png,good,new,", "a/old.png,good,part 2,", "a/dirt.png,good,,"]
    manifest.write_text("\n".join(["path,label,group,split", *rows]), "utf-8")
    embedstore.refresh(root / "s", side="train", manifest=manifest)
    sides = {name: facts(root, f"a/{name}.png")[2] for name in ("copy", "mate", "old", "dirt")}
    assert sides == {"copy": "test", "mate": "test", "old": "train", "dirt": "aside"}


def test_a_copy_of_a_test_picture_is_not_learned(root: Path) -> None:
    (root / "images" / "good/copy.png").write_bytes((root / "images" / "good/3.png").read_bytes())
    write_picture(root / "images" / "good/new.png", noise_picture(77))
    embedstore.refresh(root / "s", side="train")
    assert facts(root, "good/copy.png")[2] == "test"
    assert facts(root, "good/new.png")[2] == "train"


@pytest.mark.parametrize("torn", [("train", "test"), ("test", "train"), ("val", "train", "test"), ("test", "val")])
def test_a_new_picture_of_a_torn_group_is_tested_last(root: Path, torn: tuple[str, ...]) -> None:
    manifest = root / "torn.csv"
    rows = [f"good/{number}.png,torn,{side}" for number, side in enumerate(torn, start=3)]
    write_picture(root / "images" / "good/new.png", noise_picture(79))
    manifest.write_text("\n".join(["path,group,split", *rows]), "utf-8")
    embedstore.build(root / "s", root / "images", manifest=manifest)
    manifest.write_text(manifest.read_text("utf-8") + "\ngood/new.png,torn,\n", "utf-8")
    embedstore.refresh(root / "s", side="test", manifest=manifest)
    assert facts(root, "good/new.png")[2] == next(side for side in ("train", "val", "test") if side in torn)


def test_pictures_without_a_label_are_updated_once(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["0.png", "1.png"])
    for _ in range(3):
        report = embedstore.build(tmp_path / "s", tmp_path / "images", teacher="pixels", views=0)
    assert (report.version, report.updated) == (1, 0)
    assert embedstore.refresh(tmp_path / "s").plan.nothing


@pytest.mark.parametrize("command", ["build", "add"])
def test_a_forgotten_manifest_is_refused(tmp_path: Path, command: str) -> None:
    write_pictures(tmp_path / "images", ["Free/0.png", "Free/1.png", "Crack/0.png"])
    manifest = tmp_path / "parts.csv"
    manifest.write_text("path,label\nFree/0.png,good\nFree/1.png,good\nCrack/0.png,defect\n", "utf-8")
    embedstore.build(tmp_path / "s", tmp_path / "images", manifest=manifest, teacher="pixels", views=0)
    again: Callable[[], object] = partial(embedstore.build, tmp_path / "s", tmp_path / "images")
    if command == "add":
        again = partial(embedstore.add, tmp_path / "s", [tmp_path / "images" / "Free"])
    with pytest.raises(SettingsError, match=f"names all pictures: embedstore {command} .* --manifest FILE"):
        again()
    with embedstore.open(tmp_path / "s") as store:
        assert (store.version, sorted(store.labels)) == (1, ["defect", "good", "good"])
    write_picture(tmp_path / "images" / "Crack" / "new.png", noise_picture(5))
    embedstore.add(tmp_path / "s", [tmp_path / "images" / "Crack" / "new.png"])  # the way out that is told
    embedstore.add(tmp_path / "s", [tmp_path / "images" / "Free" / "0.png"], label="fine")
    embedstore.build(tmp_path / "s", tmp_path / "images", manifest=manifest)


@pytest.mark.parametrize("how", ["build", "add", "refresh"])
def test_a_picture_that_is_taken_again_loses_the_verdict_on_the_old_one(root: Path, how: str) -> None:
    images = root / "images"
    with embedstore.open(root / "s") as store:
        triage(store, {"good/2.png": Verdict("rare"), "good/3.png": Verdict("dirt")})
    names = [f"good/{number}.png" for number in range(3)]
    write_pictures(images, names, seed=7)
    report: embedstore.BuildReport | Plan
    if how == "build":
        report = embedstore.build(root / "s", images)
    elif how == "add":
        report = embedstore.add(root / "s", [images / name for name in names])
    else:
        report = embedstore.refresh(root / "s").plan
    assert report.verdicts_dropped == tuple(names)
    assert report.fields_kept == {"good/1.png": ("label",)}
    with embedstore.open(root / "s") as store:
        assert store.log()[-1].details["verdicts dropped"] == 3
    assert facts(root, "good/0.png") == ("good", "part 0", "train", None)
    assert facts(root, "good/1.png") == ("defect", "part 1", "test", None)
    assert facts(root, "good/2.png") == ("good", "part 2", "train", None)
    assert facts(root, "good/3.png") == ("good", "part 3", "aside", "dirt")
    again = embedstore.build(root / "s", images)
    assert (again.verdicts_dropped, again.fields_kept) == ((), {})


@pytest.mark.parametrize("how", ["add", "build", "refresh"])
def test_a_label_that_another_replaces_is_not_said_to_be_kept(root: Path, how: str) -> None:
    write_pictures(root / "images", ["good/1.png"], seed=7)
    manifest = root / "said.csv"
    manifest.write_text(
        "path,label\n" + "".join(f"{one},{'crack' if one == 'good/1.png' else ''}\n" for one in NAMES), "utf-8"
    )
    report: embedstore.BuildReport | Plan
    if how == "add":
        report = embedstore.add(root / "s", root / "images" / "good/1.png", label="crack")
    elif how == "build":
        report = embedstore.build(root / "s", root / "images", manifest=manifest)
    else:
        report = embedstore.refresh(root / "s", manifest=manifest).plan
    assert (report.verdicts_dropped, report.fields_kept) == (("good/1.png",), {})
    assert facts(root, "good/1.png")[0] == "crack"


@pytest.mark.parametrize("how", ["build", "refresh"])
def test_all_that_stays_of_a_picture_that_is_taken_again_is_told(root: Path, how: str) -> None:
    """What the manifest said stays as well, and needs no look."""
    images, manifest = root / "images", root / "said.csv"
    manifest.write_text("path,label,mode,line\n" + "".join(f"{one},good,plain,7\n" for one in NAMES), "utf-8")
    embedstore.build(root / "s", images, manifest=manifest)
    with embedstore.open(root / "s") as store, store.write() as changes:
        changes.set("mode", {"good/2.png": "scratch"})
        changes.set("camera", {"good/2.png": "3", "good/3.png": "3"})
    write_pictures(images, ["good/1.png", "good/2.png", "good/3.png", "good/4.png"], seed=7)
    report: embedstore.BuildReport | Plan
    if how == "build":
        report = embedstore.build(root / "s", images, manifest=manifest)
    else:
        report = embedstore.refresh(root / "s", manifest=manifest).plan
    assert report.fields_kept == {
        "good/1.png": ("label",),
        "good/2.png": ("mode", "camera"),
        "good/3.png": ("camera",),
    }


def test_dirt_that_is_taken_again_has_no_side_where_nothing_tells_which(root: Path) -> None:
    with embedstore.open(root / "s") as store:
        store.compact()
    write_pictures(root / "images", ["good/0.png"], seed=7)
    plan = embedstore.refresh(root / "s", dry_run=True).plan
    assert (plan.sides_unknown, plan.without_side) == (("good/0.png",), 0)
    plan = embedstore.refresh(root / "s", side="train", dry_run=True).plan
    assert (plan.sides_unknown, plan.sides) == (("good/0.png",), {"good/0.png": "train"})
    assert embedstore.build(root / "s", root / "images").sides_unknown == ("good/0.png",)
    assert facts(root, "good/0.png") == ("good", "part 0", None, None)


def test_dirt_whose_side_is_known_goes_back_beside_one_whose_side_is_not(root: Path) -> None:
    with embedstore.open(root / "s") as store:
        store.compact()
        triage(store, {"good/3.png": Verdict("dirt")})
    write_pictures(root / "images", ["good/0.png", "good/3.png"], seed=7)
    assert embedstore.build(root / "s", root / "images").sides_unknown == ("good/0.png",)
    assert facts(root, "good/0.png") == ("good", "part 0", None, None)
    assert facts(root, "good/3.png") == ("good", "part 3", "test", None)


def test_a_verdict_that_a_manifest_gives_stays_with_the_name(root: Path) -> None:
    manifest = root / "said.csv"
    manifest.write_text("path,label,verdict\ngood/4.png,good,rare\ngood/5.png,good,\n", "utf-8")
    embedstore.build(root / "s", root / "images", manifest=manifest)
    write_pictures(root / "images", ["good/4.png"], seed=7)
    assert embedstore.build(root / "s", root / "images", manifest=manifest).verdicts_dropped == ()
    assert facts(root, "good/4.png")[3] == "rare"


def test_a_moved_picture_that_is_added_stands_alone(root: Path) -> None:
    images = root / "images"
    (images / "good/5.png").rename(images / "defect/5.png")
    (images / "good/1.png").rename(images / "good/a.png")
    report = embedstore.add(root / "s", [images / "defect/5.png", images / "good/a.png"])
    assert (report.new, report.moved, report.removed, report.gone, report.samples) == (2, 2, 2, 0, len(NAMES))
    assert facts(root, "defect/5.png") == ("defect", "part 5", "test", None)
    assert facts(root, "good/a.png") == ("defect", "part 1", "test", "wrong-label")
    with embedstore.open(root / "s") as store:
        assert set(store.ids) == {*NAMES, "defect/5.png", "good/a.png"} - {"good/5.png", "good/1.png"}
    assert embedstore.refresh(root / "s").plan.nothing


def test_a_picture_that_is_added_leaves_its_name_to_another(root: Path) -> None:
    images = root / "images"
    (images / "good/1.png").rename(images / "good/a.png")
    write_picture(images / "good/1.png", noise_picture(57))
    report = embedstore.add(root / "s", images / "good/a.png")
    assert (report.new, report.moved, report.removed) == (1, 1, 1)
    assert facts(root, "good/a.png") == ("defect", "part 1", "test", "wrong-label")
    assert embedstore.build(root / "s", images).new == 1
    assert facts(root, "good/1.png") == ("good", None, None, None)


def test_a_copy_that_is_added_takes_nothing_along(root: Path) -> None:
    images = root / "images"
    (images / "defect/copy.png").write_bytes((images / "good/1.png").read_bytes())
    (images / "good/2.png").unlink()
    report = embedstore.add(root / "s", images / "defect/copy.png")
    assert (report.new, report.moved, report.removed) == (1, 0, 0)
    assert facts(root, "defect/copy.png") == ("defect", None, None, None)
    with embedstore.open(root / "s") as store:
        assert set(store.ids) == {*NAMES, "defect/copy.png"}


@pytest.mark.parametrize(
    ("named", "name", "other"), [("good", "good/1.png", "defect/0.png"), ("defect", "defect/0.png", "good/1.png")]
)
def test_one_half_of_a_swap_is_not_added(root: Path, named: str, name: str, other: str) -> None:
    swap(root / "images")
    with pytest.raises(ImagesError, match=f"'{name}' has the picture of '{other}' now, .* embedstore build "):
        embedstore.add(root / "s", root / "images" / named)
    with embedstore.open(root / "s") as store:
        assert (store.version, set(store.ids)) == (3, {*NAMES})
    assert facts(root, "good/1.png") == ("defect", "part 1", "test", "wrong-label")
    assert embedstore.build(root / "s", root / "images").moved == 2  # the way out that is told
    assert facts(root, "defect/0.png") == ("defect", "part 1", "test", "wrong-label")


def test_a_copy_that_is_added_while_the_folder_is_away_takes_nothing_along(root: Path) -> None:
    images = root / "images"
    (images / "defect/copy.png").write_bytes((images / "good/1.png").read_bytes())
    (images / "good").rename(root / "away")
    with pytest.raises(ImagesError, match=r"whether it moved or was copied, .* put the folder back"):
        embedstore.add(root / "s", images / "defect/copy.png")
    (root / "away").rename(images / "good")
    assert embedstore.add(root / "s", images / "defect/copy.png").moved == 0
    assert facts(root, "defect/copy.png") == ("defect", None, None, None)
    assert facts(root, "good/1.png") == ("defect", "part 1", "test", "wrong-label")


@pytest.mark.parametrize("first", ["stays", "leaves"])
def test_an_imported_sample_keeps_what_was_said_when_its_picture_is_a_copy(tmp_path: Path, first: str) -> None:
    """Vectors that are imported come without the bytes of their pictures, so the name tells whose they are."""
    images = tmp_path / "images"
    write_pictures(images, ["0.png", "2.png"])
    (images / "1.png").write_bytes((images / "0.png").read_bytes())
    embedstore.build(tmp_path / "built", images, teacher="pixels", views=0)
    with embedstore.open(tmp_path / "built") as store:
        export(store, tmp_path / "vectors.parquet")
    import_vectors(tmp_path / "s", tmp_path / "vectors.parquet", images=images)
    with embedstore.open(tmp_path / "s") as store, store.write() as changes:
        for field, text in (("label", "defect"), ("group", "part 1"), ("split", "test")):
            changes.set(field, {"1.png": text})
    embedstore.add(tmp_path / "s", images / "0.png", teacher="pixels")
    if first == "leaves":
        (images / "0.png").unlink()
    report = embedstore.build(tmp_path / "s", images, teacher="pixels")
    assert (report.moved, report.overwritten) == (0, 0)
    assert facts(tmp_path, "1.png") == ("defect", "part 1", "test", None)
