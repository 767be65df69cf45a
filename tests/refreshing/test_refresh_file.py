"""refresh.toml: what it says is done, and nothing else is taken for something."""

from pathlib import Path

import pytest

from embedstore.errors import SettingsError
from embedstore.refreshing import LIMIT, RefreshSettings, read_config, write_config


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    settings = RefreshSettings(
        str(tmp_path / "部品"), str(tmp_path / 'a "b".csv'), "timm:x", prune=True, side="train", limit=0.1, keep=7
    )
    write_config(tmp_path / "refresh.toml", settings)
    assert read_config(tmp_path / "refresh.toml") == settings


def test_what_is_not_given_stands_there_as_a_comment(tmp_path: Path) -> None:
    write_config(tmp_path / "refresh.toml", RefreshSettings())
    assert read_config(tmp_path / "refresh.toml") == RefreshSettings()
    text = (tmp_path / "refresh.toml").read_text("utf-8")
    assert "# images = " in text
    assert "\nprune = false\n" in text
    assert f"\nlimit = {LIMIT}\n" in text


def test_every_comment_is_a_key_that_can_be_switched_on(tmp_path: Path) -> None:
    write_config(tmp_path / "a.toml", RefreshSettings())
    lines = (tmp_path / "a.toml").read_text("utf-8").replace("\n# images =", "\nimages =").splitlines()
    on = [line.removeprefix("# ") if " = " in line else line for line in lines]
    found = read_config(written(tmp_path / "b.toml", "\n".join(on)))
    assert (found.images, found.manifest) == (str(tmp_path / "photos"), str(tmp_path / "photos.csv"))
    assert (found.side, found.keep, found.limit) == ("train", 7, LIMIT)


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    file = written(tmp_path / "refresh.toml", 'images = "parts"\nmanifest = "../m.csv"\n')
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = read_config(file)
    assert found.images == str(tmp_path / "parts")
    assert Path(found.manifest or "").resolve() == tmp_path.parent / "m.csv"


def test_what_the_command_line_says_rules(tmp_path: Path) -> None:
    file = written(tmp_path / "refresh.toml", 'limit = 0.2\nside = "val"\n')
    assert read_config(file, {"limit": 0.3}) == RefreshSettings(side="val", limit=0.3)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('image = "x"', "the key 'image' is unknown; did you mean 'images'?"),
        ("zzz = 1", "the key 'zzz' is unknown; known are images, manifest"),
        ("[images]", "images is {}; expected a path"),
        ("images = 3", "images is 3; expected a path"),
        ("prune = 1", "prune is 1; expected true or false"),
        ("limit = true", "limit is true; expected a number"),
        ('limit = "a"', 'limit is "a"; expected a number'),
        ("limit = -0.1", "The limit is -0.1; expected a number, 0 or more"),
        ("limit = inf", "The limit is inf"),
        ("limit = nan", "The limit is nan"),
        ("keep = 0", "The refreshes to keep are 0; expected 1 or more"),
        ("keep = 1.5", "keep is 1.5; expected a whole number"),
        ('side = "training"', "The side 'training' is unknown; use one of train, val, test, aside"),
        ("images = ", "is no valid TOML"),
        ("#" * 70_000, "more than 65536 bytes"),
    ],
)
def test_what_can_not_be_is_refused_with_the_key(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_config(written(tmp_path / "refresh.toml", text))
    assert why in str(error.value)
    assert "refresh.toml" in str(error.value)


def test_files_that_can_not_be_read_or_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'side = "tr\xe4in"')
    for path, why in [("no.toml", "does not exist"), (".", "is a directory"), ("latin.toml", "is not UTF-8")]:
        with pytest.raises(SettingsError, match=why):
            read_config(tmp_path / path)
    with pytest.raises(SettingsError, match="exists; choose another name"):
        write_config(tmp_path / "latin.toml", RefreshSettings())
    with pytest.raises(SettingsError, match=r"The directory .* does not exist"):
        write_config(tmp_path / "no" / "refresh.toml", RefreshSettings())
