"""Task files: whatever the settings, they read back the same; and each mistake is one sentence that says where it is."""

import os
import re
import unicodedata
from dataclasses import fields, replace
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import store_of, unit_vectors
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from toy_parts import make_store, parts, quick

import distill
import embedstore
from distill import Settings
from distill.targets import MIXTURE, POLICIES
from distill.training.settings import ANSWERS, CE_VIEWS, KEEP, LOSSES, PATCHES, PROJECTIONS, SCHEDULES
from distill.training.task_draft import customary_good, draft_task
from distill.training.task_file import default_policy, keep_task, read_task, write_task
from distill.training.task_format import LOSS, TOP, format_task, key, quoted, written
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError
from embedstore.exports import SummaryFile, export
from embedstore.summaries import STRATEGIES

EVERYTHING = """
good = "良品"
student = "resnet10t"
size = 64
views = 3
epochs = 12
overkill = 0.1
seed = 7
folds = 5
fold = 2
val_fold = 4
pretrain_epochs = 4
ce_views = "whole"
crops = "stored"
balance = 0.5
batch = 16
learning_rate = 1e-3
schedule = "constant"
weight_decay = 0
ema = 0.9
keep = "best"
answer = "both"

[loss]
alignment = "contrastive"
lambda = 5
temperature = 0.2
projection = "teacher"
logit_adjustment = 1

[policy]
"良品" = "sub-prototypes"
"傷 No.1" = { own = 0.5, rare-samples = 0.25 }

[policies.rare-samples]
share = 0.3
k = 4

[policies.sub-prototypes]
summary = "monday"
"""
READ = Settings(
    policy=MIXTURE,
    mixture={"良品": {"sub-prototypes": 1.0}, "傷 No.1": {"own": 0.5, "rare-samples": 0.25}},
    options={"rare-samples": {"share": 0.3, "k": 4}, "sub-prototypes": {"summary": "monday"}},
    good="良品",
    student="resnet10t",
    loss="contrastive",
    weight=5,
    temperature=0.2,
    size=64,
    epochs=12,
    seed=7,
    overkill=0.1,
    views=3,
    folds=5,
    fold=2,
    val_fold=4,
    pretrain_epochs=4,
    ce_views="whole",
    crops="stored",
    balance=0.5,
    batch=16,
    learning_rate=0.001,
    schedule="constant",
    weight_decay=0,
    ema=0.9,
    keep="best",
    answer="both",
    projection="teacher",
    logit_adjustment=1,
)


def task_of(folder: Path, text: str | bytes) -> Path:
    path = folder / "task.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path: Path, **arguments: Any) -> str:
    """Return the sentence by which a file is refused: one, and with the file's name."""
    with pytest.raises(SettingsError) as caught:
        read_task(path, **arguments)
    sentence = str(caught.value)
    assert f"'{path}'" in sentence
    assert "\n" not in sentence
    assert sentence[-1] in ".?" or sentence.endswith("--out FILE")
    return sentence.replace(str(path), "FILE")


# What is read


def test_a_file_with_every_key(tmp_path: Path) -> None:
    assert read_task(task_of(tmp_path, EVERYTHING)) == READ


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert read_task(task_of(tmp_path, "")) == Settings()
    assert read_task(task_of(tmp_path, ""), policy="class-mean") == Settings(policy="class-mean")


def test_a_single_policy_and_its_options(tmp_path: Path) -> None:
    path = task_of(tmp_path, 'policy = "retrieved"\n[policies.retrieved]\nalpha = 1\nneighbours = 3\n')
    assert read_task(path, policy="none") == Settings(
        policy="retrieved", options={"retrieved": {"alpha": 1, "neighbours": 3}}
    )


@pytest.mark.parametrize("text", ["\ufeff" + EVERYTHING, EVERYTHING.replace("\n", "\r\n")], ids=["bom", "crlf"])
def test_what_windows_editors_write_is_understood(text: str, tmp_path: Path) -> None:
    assert read_task(task_of(tmp_path, text)) == READ


def test_every_setting_has_its_place_in_the_file() -> None:
    placed = [one.setting for one in (*TOP.values(), *LOSS.values())]
    assert sorted([*placed, "policy", "mixture", "options"]) == sorted(field.name for field in fields(Settings))


# Round trip

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
OPTIONS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "class-mean": {"per_class": st.integers(1, 1000)},
    "sub-prototypes": {"k": st.integers(1, 1000)},
    "rare-samples": {"share": st.floats(0, 1), "k": st.integers(1, 1000)},
    "compressed-own": {
        "bytes": st.integers(1, 256),
        "share": st.floats(0, 1),
        "rare_bytes": st.integers(1, 256),
        "kept_views": st.integers(0, 1000),
    },
    "own": {"outputs": st.sampled_from(["embedding", "embedding, maxima"])},
    "shuffled-own": {"outputs": st.sampled_from(["embedding", "grid"])},
    "rotated-means": {"per_class": st.integers(1, 1000)},
    "uncentred-means": {"per_class": st.integers(1, 1000)},
    "class-distribution": {"rank": st.integers(1, 1000)},
    "live-teacher": {"teacher": TEXTS, "centred": st.booleans()},
    "retrieved": {
        "alpha": st.floats(0, 1),
        "neighbours": st.integers(1, 100),
        "temperature": st.floats(1e-300, 1e6),
    },
}
SINGLE = [name for name in POLICIES if name != MIXTURE]


@st.composite
def any_settings(draw: st.DrawFn) -> Settings:
    policy = draw(st.sampled_from(list(POLICIES)))
    weights = st.one_of(st.floats(0, 1e6), st.sampled_from([1, 1.0, 0]))
    mixable = [name for name in SINGLE if name != "live-teacher"]
    shares = st.dictionaries(st.sampled_from(mixable), weights, min_size=1, max_size=4)
    mixture = {}
    if policy == MIXTURE:
        mixture = draw(st.dictionaries(TEXTS, shares.filter(lambda one: sum(one.values()) > 0), min_size=1, max_size=5))
    options: dict[str, Any] = {}
    for name, parameters in OPTIONS.items():
        chosen = st.fixed_dictionaries({}, optional=parameters)
        if POLICIES[name].strategy is not None:
            chosen = chosen | st.fixed_dictionaries({"summary": TEXTS})
        options |= {name: draw(chosen)} if draw(st.booleans()) else {}
    numbers = st.floats(0, 1e6)
    return Settings(
        policy=policy,
        mixture=mixture,
        options=options,
        good=(good := draw(st.none() | TEXTS)),
        student=draw(TEXTS.filter(lambda name: ":" not in name)),  # of code a file alone is not enough
        loss=draw(st.sampled_from(LOSSES)),
        weight=draw(st.floats(1e-3, 1e6) | st.integers(1, 9)),
        temperature=draw(st.floats(1e-6, 1e6)),
        size=draw(st.integers(16, 4096)),
        epochs=draw(st.integers(1, 1_000_000)),
        seed=draw(st.integers(0, 2**32 - 1)),
        overkill=draw(st.floats(0, 0.5)),
        views=draw(st.none() | st.integers(0, 50)),
        folds=(folds := draw(st.none() | st.integers(3, 10))),
        fold=0 if folds is None else draw(st.integers(0, 9)),
        val_fold=None if folds is None else draw(st.none() | st.integers(0, 9)),
        ce_views=draw(st.sampled_from(CE_VIEWS)),
        batch=draw(st.integers(2, 512)),
        learning_rate=draw(st.floats(0, 1e6, exclude_min=True)),
        weight_decay=draw(numbers),
        projection=draw(st.sampled_from(PROJECTIONS)),
        pretrain_epochs=0 if policy == "none" or mixture_of_nothing(mixture) else draw(st.integers(0, 1_000_000)),
        balance=draw(st.floats(0, 1)),
        logit_adjustment=draw(st.floats(0, 1000)),
        schedule=draw(st.sampled_from(SCHEDULES)),
        ema=draw(st.floats(0, 0.999)),
        keep=draw(st.sampled_from(KEEP)),
        answer=draw(st.sampled_from(ANSWERS if good else [one for one in ANSWERS if one != PATCHES])),
        patches=draw(TEXTS),
    )


def mixture_of_nothing(mixture: dict[str, dict[str, float]]) -> bool:
    return {name for shares in mixture.values() for name in shares} == {"none"}


@given(settings=any_settings(), comment=TEXTS)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_any_settings_read_back_the_same(settings: Settings, comment: str, tmp_path: Path) -> None:
    text = format_task(settings, heading=[quoted(comment)], of_policy=[quoted(comment)], ending=[quoted(comment)])
    assert read_task(task_of(tmp_path, text)) == settings


@pytest.mark.parametrize("policy", SINGLE)
def test_the_options_of_every_policy_are_tried(policy: str) -> None:
    strategy = POLICIES[policy].strategy
    taken = signature(STRATEGIES[strategy] if strategy else POLICIES[policy].fit).parameters.values()
    assert {one.name for one in taken if one.kind is one.KEYWORD_ONLY} == OPTIONS.get(policy, {}).keys()


def test_an_option_that_is_none_is_left_out(tmp_path: Path) -> None:
    chosen = Settings(policy="sub-prototypes", options={"sub-prototypes": {"k": None}})
    assert read_task(task_of(tmp_path, format_task(chosen))) == replace(chosen, options={"sub-prototypes": {}})


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"x", object(), None, "\ud800"])
def test_what_toml_can_not_hold_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match=r"can't hold .*; expected a text in Unicode, a number, true or false\."):
        written(value)


def test_labels_are_written_to_be_read() -> None:
    assert key("policy", "good") == "policy.good"
    assert key("良品") == '"良品"'
    assert key("a.b", "") == '"a.b".""'
    assert quoted('良品　"A"\\') == '"良品　\\"A\\"\\\\"'
    assert quoted("a\nb\x1b[31m\x7f") == '"a\\nb\\u001b[31m\\u007f"'
    assert quoted("abc\u202edef\U000e0001") == '"abc\\u202edef\\U000e0001"'  # what turns a line around is seen


# What is refused


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # unknown keys
        ("epoch = 3", 'the key "epoch" is unknown; did you mean "epochs"?'),
        ("learning-rate = 3", 'did you mean "learning_rate"?'),
        ("policys = 3", 'did you mean "policy"?'),
        ("xyzzy = 3", 'the key "xyzzy" is unknown; expected one of "good", "student", "size", '),
        ('"e\\u001bx\\n" = 3', 'the key "e\\u001bx\\n" is unknown'),
        ("[loss]\nlamda = 3", 'the key "lamda" below [loss] is unknown; did you mean "lambda"?'),
        ("[policies.rare-sample]\nk = 3", 'did you mean "rare-samples"?'),
        ("[policies.mixture]\nmembers = 3", 'the key "mixture" below [policies] is unknown; expected one of "none",'),
        # keys in another place
        ("[loss]\nepochs = 3", 'the key "epochs" stands below [loss]; move it above the first line in square brackets.'),
        ('[loss]\npolicy = "own"', 'the key "policy" stands below [loss]; move it above'),
        ("lambda = 3", 'the key "lambda" stands alone; move it below a line [loss].'),
        ('[policy]\ngood = "own"\nepochs = 3', 'the key "epochs" stands below [policy]; move it above'),
        ('[policy]\ngood = "own"\nstudent = "small"', 'the key "student" stands below [policy]; move it above'),
        (
            'policy = "own"\n[policies.own]\nseed = 3',
            'the key "seed" stands below [policies.own]; move it above',
        ),
        # wrong types
        ('epochs = "thirty"', 'epochs is "thirty"; expected a whole number.'),
        ("epochs = 30.0", "epochs is 30.0; expected a whole number."),
        ("epochs = true", "epochs is true; expected a whole number."),
        ("epochs = [3]", "epochs is a list; expected a whole number."),
        ("epochs = 2024-01-31", "epochs is a date or time, 2024-01-31; expected a whole number."),
        ("epochs = 0x" + "f" * 5000, "epochs is a number of more than 64 bits; expected a whole number."),
        ("overkill = false", "overkill is false; expected a number."),
        ("good = 5", "good is 5; expected a text in quotation marks."),
        ("good = { name = 5 }", "good is a table; expected a text in quotation marks."),
        (f'size = "{"x" * 1000}"', f'size is "{"x" * 60}…"; expected a whole number.'),
        ("[loss]\nlambda = true", "loss.lambda is true; expected a number."),
        ('loss = "cosine"', 'loss is "cosine"; expected a table: a line [loss], and its own lines below.'),
        ('policies = "own"', 'policies is "own"; expected a table'),
        ("policies.own = 3", "policies.own is 3; expected a table"),
        ("policy = 3", "policy is 3; expected the name of a policy, or a table [policy] with a line for each label."),
        ('policy = ["own"]', "policy is a list; expected the name of a policy"),
        ('policy = "mixture"', 'policy is "mixture"; expected the name of a policy, or a table'),
        ("[policy]\n良品 = 3", None),
        ('[policy]\n"良品" = 3', 'policy."良品" is 3; expected the name of a policy, or weights such as'),
        ("[policy]\ngood = true", "policy.good is true; expected the name of a policy"),
        ("[policy]\ngood = { own = true }", "policy.good.own is true; expected a number."),
        ("[policy]\ngood = ['own']", "policy.good is a list; expected the name of a policy, or weights such as"),
        ("[policy]\ngood = []", "policy.good is a list; expected the name of a policy"),
        ("[policy]\ngood = { own = [1] }", "policy.good.own is a list; expected a number."),
        ('[policy]\ngood = "own"\nsize = [1]', 'the key "size" stands below [policy]; move it above'),
        ('[policy]\npart.7 = "own"', 'policy.part.7 is "own"; expected a number, the weight of a policy (a label with a dot'),
        ("[policies.retrieved]\nalpha = 0x" + "f" * 5000, "policies.retrieved.alpha is a number of more than 64 bits; expected"),
        # what settings refuse
        ("[loss]\nlambda = -1", "'FILE' can't be used: The lambda is -1; expected 0 to 1000000."),
        ("overkill = nan", "'FILE' can't be used: The overkill is nan; expected 0 to 0.5."),
        ('policy = "owm"', "'FILE' can't be used: The policy 'owm' is unknown; use one of none, class-mean,"),
        ("[policy]", "'FILE' can't be used: The policy 'mixture' needs weights"),
        ('[policy]\ngood = "sub"', "'FILE' can't be used: The mixture of 'good' names the policy 'sub'; use none,"),
        ("[policy]\ngood = { own = 0 }", "'FILE' can't be used: The mixture of 'good' has no policy with a weight above 0."),
        ("[policies.rare-samples]\nshares = 0.3", "'FILE' can't be used: The strategy 'rare-samples' takes no 'shares'; it"),
        ("[policies.live-teacher]\ncentred = 1", "The option 'centred' of 'live-teacher' is 1; expected true or false."),
        ("[policies.class-mean]\nper_class = true", "The parameter 'per_class' of 'class-mean' is True; expected a whole num"),
        ('[policies.class-mean]\nsummary = "a"\nper_class = 3', "name a saved summary and parameters to make one; give one"),
        # no TOML
        ("good = “OK”", "'FILE' is no valid TOML: Invalid value (at line 1, column 8); expected lines such as"),
        ("size = 3\n\nepochs 30", "(at line 3, column 8)"),
        ("size = 3\nsize = 4\n# end", "is no valid TOML: Cannot overwrite a value (at line 2, column 9)"),
        ("size = " + "3" * 5000, "is no valid TOML: Exceeds the limit"),
        ("size = " + "[" * 100_000, "'FILE' is no task file: its lists or tables are nested too deep."),
    ],
)  # fmt: skip
def test_each_mistake_is_one_sentence(text: str, told: str | None, tmp_path: Path) -> None:
    assert (told or "is no valid TOML: Invalid statement (at line 2, column 1)") in refusal(task_of(tmp_path, text))


@pytest.mark.parametrize("name", [name for name, one in (TOP | LOSS).items() if one.kind is not str])
@pytest.mark.parametrize("value", ["true", "'1'", "[1]"])
def test_only_numbers_are_numbers(name: str, value: str, tmp_path: Path) -> None:
    text = f"[loss]\n{name} = {value}" if name in LOSS else f"{name} = {value}"
    assert re.search(r"is (true|\"1\"|a list); expected a (whole )?number\.", refusal(task_of(tmp_path, text)))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    assert "'FILE' does not exist; write a task file with: distill init STORE" in refusal(tmp_path / "task.toml")
    assert "'FILE' is a directory" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / ("x" * 300))
    assert "'FILE' has more than 1048576 bytes" in refusal(task_of(tmp_path, b"#" * (1 << 20) + b"#"))
    assert read_task(task_of(tmp_path, b"#" * (1 << 20))) == Settings()


@pytest.mark.parametrize("form", ["utf-16", "shift-jis"])
def test_another_encoding_is_refused_with_its_line(form: str, tmp_path: Path) -> None:
    text = 'size = 64\ngood = "良品"'.encode(form)
    line = 1 if form == "utf-16" else 2
    assert f"'FILE' is not UTF-8 text (at line {line}); save it as UTF-8" in refusal(task_of(tmp_path, text))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = task_of(tmp_path, "")
    monkeypatch.setattr(Path, "open", refused)  # the superuser may read everything
    assert "'FILE' can't be read: Permission denied; check its permissions." in refusal(path)


# Labels of the store


def test_labels_that_the_store_does_not_have(tmp_path: Path) -> None:
    path = task_of(tmp_path, EVERYTHING)
    assert read_task(path, labels=["良品", "傷 No.1", "錆"]) == READ
    assert 'The store has no label "良品"; expected one of "good", "傷 No.1".' in refusal(
        path, labels=["good", "傷 No.1"]
    )
    sentence = refusal(path, labels=["良品", "傷 No.2"])
    assert sentence == '\'FILE\' can\'t be used: The store has no label "傷 No.1"; did you mean "傷 No.2"?'
    many = refusal(path, labels=[f"x{number}" for number in range(40)])
    assert "and 28 more." in many


def test_a_label_in_another_unicode_form_is_that_of_the_store(tmp_path: Path) -> None:
    label = "ガラス"
    text = f'good = "{label}"\n[policy]\n"{label}" = "own"\nb = "none"'
    found = read_task(task_of(tmp_path, unicodedata.normalize("NFD", text)), labels=[label, "b"])
    assert (found.good, list(found.mixture)) == (label, [label, "b"])


# What rules over the file


def test_changes_rule_over_the_file(tmp_path: Path) -> None:
    path = task_of(tmp_path, EVERYTHING)
    assert read_task(path, changes={"epochs": 2, "weight": 1.0}) == replace(READ, epochs=2, weight=1.0)
    assert read_task(path, changes={"policy": MIXTURE}) == READ
    other = read_task(path, changes={"policy": "rare-samples"})
    assert other == replace(READ, policy="rare-samples", mixture={})
    assert other.options["rare-samples"] == {"share": 0.3, "k": 4}


def test_labels_that_changes_rule_over_may_be_unknown(tmp_path: Path) -> None:
    path = task_of(tmp_path, EVERYTHING)
    found = read_task(path, labels=["a", "b"], changes={"policy": "own", "good": "a"})
    assert found == replace(READ, policy="own", mixture={}, good="a")


def test_a_mistake_in_the_changes_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^The number of epochs is 0; expected"):
        read_task(task_of(tmp_path, EVERYTHING), changes={"epochs": 0})
    with pytest.raises(SettingsError, match=r"^The policy 'owm' is unknown"):
        read_task(task_of(tmp_path, "size = 64"), changes={"policy": "owm"})


@pytest.mark.parametrize(
    ("strategy", "policy"),
    [
        *((name, name) for name in ("class-mean", "sub-prototypes", "rare-samples")),
        *((name, "sub-prototypes") for name in ("medoids", "of a later release")),
        *((name, "rare-samples") for name in ("random-samples", "herding")),
        ("text", "class-mean"),
    ],
)
def test_an_exported_summary_has_a_policy_that_fits_it(strategy: str, policy: str) -> None:
    file = SummaryFile.__new__(SummaryFile)
    file.kept = SimpleNamespace(strategy=strategy)  # type: ignore[assignment]
    assert default_policy(file) == policy
    assert strategy in (*STRATEGIES, "of a later release")


def test_a_store_has_the_policy_own(store: EmbeddingStore) -> None:
    assert default_policy(store) == Settings().policy == "own"


# What is written


def test_a_task_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    write_task(path, "size = 64\n")
    with pytest.raises(SettingsError, match="exists; choose another name"):
        write_task(path, "size = 32\n")
    assert path.read_text() == "size = 64\n"
    with pytest.raises(SettingsError, match=r"The directory '.*nowhere' does not exist"):
        write_task(tmp_path / "nowhere" / "task.toml", "")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write_task(tmp_path / "task.toml", "size = 64\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "chosen",
    [
        quick(policy="none", views=1),
        quick(
            policy=MIXTURE,
            mixture={"good": {"sub-prototypes": 1}, "defect": {"own": 0.4, "rare-samples": 0.6}},
            options={"rare-samples": {"share": 0.3, "k": 2}},
            folds=4,
            fold=1,
            val_fold=3,
        ),
    ],
    ids=["one policy", "mixture"],
)
def test_a_run_can_be_made_again_from_its_own_task(chosen: Settings, store: EmbeddingStore, tmp_path: Path) -> None:
    first = distill.train(store, tmp_path / "first", chosen)
    task = read_task(first.path / "task.toml", labels=["good", "defect"])
    assert task == chosen
    again = distill.train(store, tmp_path / "again", task)
    expected, found = (load_file(run.path / "student.safetensors") for run in (first, again))
    assert all((found[name] == expected[name]).all() for name in expected)
    assert (again.path / "task.toml").read_bytes() == (first.path / "task.toml").read_bytes()


def test_a_run_keeps_the_task_it_has(store: EmbeddingStore, tmp_path: Path) -> None:
    keep_task(tmp_path, READ, store)
    keep_task(tmp_path, Settings(), store)
    assert read_task(tmp_path / "task.toml") == READ
    assert "# Train it again with: distill train STORE --task FILE --out NEW\n" in (tmp_path / "task.toml").read_text(
        "utf-8"
    )


def test_the_task_of_a_run_from_a_file_says_how_that_is_trained_again(tmp_path: Path) -> None:
    settings = quick(policy="sub-prototypes", epochs=1)
    with embedstore.open(make_store(tmp_path, parts(30, 10, 10))) as store:
        store.summarize("sub-prototypes", name="kept", split="train", k=2)
        export(store, tmp_path / "kept.safetensors", summary="kept")
    run = distill.train(tmp_path / "kept.safetensors", tmp_path / "run", settings, images=tmp_path / "images")
    told = "# Train it again with: distill train --summary FILE.safetensors --images DIR --task FILE --out NEW\n"
    assert told in (run.path / "task.toml").read_text("utf-8")
    assert read_task(run.path / "task.toml") == settings


# A first task for a store


def labelled(folder: Path, *labels: str, views: int = 0) -> EmbeddingStore:
    vectors = unit_vectors(0, len(labels))
    return store_of(folder / "parts.store", [vectors] * (views + 1), labels=labels)


def test_a_draft_fits_its_store(tmp_path: Path) -> None:
    with labelled(tmp_path, "OK", "OK", "OK", "crack", views=2) as store:
        draft = draft_task(store)
    assert draft.settings == Settings(good="OK", views=2)
    assert read_task(task_of(tmp_path, draft.text), labels=["OK", "crack"]) == draft.settings
    assert 'Pictures by label: "OK" 3, "crack" 1; augmented views of each: 2' in draft.text
    assert 'speak for all 1 pictures of "crack"' in draft.text
    assert draft.remarks == ['Good parts have the label "OK", going by its name; choose another with --good LABEL.']


def test_a_draft_says_what_a_store_without_views_lacks(tmp_path: Path) -> None:
    with labelled(tmp_path, "a", "b") as store:
        draft = draft_task(store, good="b")
        assert draft_task(store, without_good=True).settings == Settings(good=None, views=0)
    assert draft.settings == Settings(good="b", views=0)
    assert len(draft.remarks) == 1
    assert "no augmented views" in draft.remarks[0]


HOSTILE = [
    "good",
    "bad\nepochs = 1",
    'q"uote\\',
    "\x1b[31mred\x00",
    "\u202eturned",
    "傷",
    "a.b = c",
    "# x",
    "",
    "[policy]",
]


@pytest.mark.parametrize("labels", [HOSTILE, [f"label {n}" for n in range(15)]])
def test_the_example_in_a_draft_is_valid_once_its_signs_are_taken_away(labels: list[str], tmp_path: Path) -> None:
    with labelled(tmp_path, *labels) as store:
        text = draft_task(store, good=labels[0]).text
    assert read_task(task_of(tmp_path, text), labels=labels) == Settings(good=labels[0], views=0)
    before, _, example = text.partition("# [policy]\n")
    before = "".join(line for line in before.splitlines(keepends=True) if not line.startswith("policy"))
    example = "".join(line.removeprefix("# ") for line in example.splitlines(keepends=True))
    both = {"own": 0.5, "rare-samples": 0.5}
    assert read_task(task_of(tmp_path, f"{before}[policy]\n{example}"), labels=labels) == Settings(
        policy=MIXTURE,
        mixture={label: {"sub-prototypes": 1.0} if label == labels[0] else both for label in labels},
        options={"rare-samples": {"share": 0.2, "k": 8}},
        good=labels[0],
        views=0,
    )


def test_a_draft_for_very_many_labels_stays_readable(tmp_path: Path) -> None:
    with labelled(tmp_path, *(f"label {number}" for number in range(300))) as store:
        text = draft_task(store, good="label 7").text
    assert "and 280 more" in text
    assert "# and so on for the other 280 labels" in text
    assert len(text.splitlines()) < 80


@pytest.mark.parametrize(
    "name",
    ["good", "OK", "Normal", "free", "PASS", "良品", "正常", "合格", "ＯＫ", "defect-free", "no_defects", "No Defect"],
)
def test_a_customary_name_of_good_parts_is_known(name: str) -> None:
    assert customary_good(["crack", name, "not good", "NG", "不良品"]) == name


def test_without_one_such_name_the_labels_are_listed_and_asked_for() -> None:
    with pytest.raises(SettingsError, match=r'None of the labels \("a", "b\\n"\) has .* name theirs with --good LABEL'):
        customary_good(["a", "b\n"])
    with pytest.raises(SettingsError, match=r'Several labels \("good", "OK"\) have a customary name of good parts'):
        customary_good(["good", "crack", "OK"])


@pytest.mark.parametrize(
    ("labels", "arguments", "told"),
    [
        (["good", "good"], {}, 'are "good"; a student needs at least two labels'),
        ([None, None], {}, "No picture in .* has a label; a student needs"),
        (["good", "crack"], {"good": "god"}, 'has no label "god"; did you mean "good"?'),
        (["good", "crack"], {"good": "good", "without_good": True}, "together with the word that there is none"),
    ],
)
def test_a_store_that_no_task_fits(labels: list[Any], arguments: dict[str, Any], told: str, tmp_path: Path) -> None:
    with labelled(tmp_path, *labels) as store, pytest.raises(SettingsError, match=told.replace("?", r"\?")):
        draft_task(store, **arguments)
