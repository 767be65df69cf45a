"""Options that can't be, and summaries and sources that do not fit a policy: one sentence each."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_parts import quick
from toy_vectors import DEFECT, GOOD, VIEWS, everyone, make_store, of_label, summary_of, training_of, whole

from distill.targets import MIXTURE, POLICIES, TrainingSet
from distill.targets.making import make_policy
from embedstore import EmbeddingStore
from embedstore.errors import EmbedstoreError, SettingsError, SummaryError
from embedstore.exports import SummaryFile, export

# Options that can't be

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown policy": ({"policy": "levitation"}, "policy 'levitation' is unknown; use one of none, class-mean"),
    "mixture of nothing": ({"policy": "mixture"}, "The policy 'mixture' needs weights"),
    "weights without mixture": ({"policy": "own", "mixture": {"good": {"own": 1}}}, "policy is 'own', not 'mixture'"),
    "unknown member": ({"mixture": {"good": {"magic": 1}}}, "mixture of 'good' names the policy 'magic'; use none, "),
    "mixture in a mixture": ({"mixture": {"good": {"mixture": 1}}}, "names the policy 'mixture'; use none, "),
    "no table": ({"mixture": {"good": "own"}}, "The mixture of 'good' is 'own'; expected policies, each with its"),
    "negative weight": ({"mixture": {"good": {"own": -1}}}, "weight of 'own' for 'good' is -1; expected a number, 0 or"),
    "infinite weight": ({"mixture": {"good": {"own": float("inf")}}}, "weight of 'own' for 'good' is inf"),
    "weight is no number": ({"mixture": {"good": {"own": float("nan")}}}, "weight of 'own' for 'good' is nan"),
    "weight is a word": ({"mixture": {"good": {"own": "half"}}}, "weight of 'own' for 'good' is 'half'"),
    "weight is true": ({"mixture": {"good": {"own": True}}}, "weight of 'own' for 'good' is True"),
    "all weights 0": ({"mixture": {"good": {"own": 0, "none": 0}}}, "mixture of 'good' has no policy with a weight"),
    "no weights": ({"mixture": {"good": {}}}, "mixture of 'good' has no policy with a weight above 0"),
    "options of no policy": ({"policy": "own", "options": {"gone": {"alpha": 1}}}, "for 'gone', which is no policy that"),
    "options of a mixture": (
        {"mixture": {"good": {"own": 1}}, "options": {"mixture": {"weights": {}}}},
        "for 'mixture', which is no policy that takes options",
    ),
    "bad options of another": ({"policy": "own", "options": {"retrieved": {"k": 1}}}, "'retrieved' takes no option 'k'"),
    "options are a word": ({"policy": "class-mean", "options": {"class-mean": "monday"}}, "are 'monday'; expected names"),
    "unknown option": ({"policy": "retrieved", "options": {"retrieved": {"k": 3}}}, "no option 'k'; it takes alpha and n"),
    "option where none is": ({"policy": "none", "options": {"none": {"k": 3}}}, "takes no option 'k'; it takes none"),
    "a list for a text": (
        {"policy": "own", "options": {"own": {"outputs": ["embedding"]}}},
        r"'outputs' of 'own' is \['embedding'\]; expected a text",
    ),
    "unknown parameter": ({"policy": "class-mean", "options": {"class-mean": {"k": 3}}}, "'class-mean' takes no 'k'"),
    "both": (
        {"policy": "rare-samples", "options": {"rare-samples": {"summary": "monday", "k": 3}}},
        "name a saved summary and parameters to make one; give one or the other",
    ),
    "a strategy where no summary is": (
        {"policy": "own", "options": {"own": {"strategy": "herding"}}},
        "'own' takes no option 'strategy'",
    ),
    "an unknown strategy": (
        {"policy": "rare-samples", "options": {"rare-samples": {"strategy": "odd"}}},
        "'rare-samples' takes no summary of the strategy 'odd'; use one of rare-samples, random-samples, herding",
    ),
    "a strategy that does not fit": (
        {"policy": "rare-samples", "options": {"rare-samples": {"strategy": "sub-prototypes"}}},
        "no summary of the strategy 'sub-prototypes'; use one of rare-samples, random-samples, herding",
    ),
    "a strategy that is no text": (
        {"policy": "rare-samples", "options": {"rare-samples": {"strategy": 3}}},
        "no summary of the strategy 3; use",
    ),
    "a parameter of another strategy": (
        {"policy": "rare-samples", "options": {"rare-samples": {"strategy": "herding", "rank": 3}}},
        "The strategy 'herding' takes no 'rank'; it takes ",
    ),
    "a number's type": ({"policy": "retrieved", "options": {"retrieved": {"neighbours": 2.5}}}, "is 2.5; expected a whole"),
    "true for a number": ({"policy": "retrieved", "options": {"retrieved": {"alpha": True}}}, "is True; expected a number"),
    "a word for a number": (
        {"policy": "sub-prototypes", "options": {"sub-prototypes": {"k": "three"}}},
        "'k' of 'sub-prototypes' is 'three'; expected a whole number",
    ),
    "a number for yes": ({"policy": "live-teacher", "options": {"live-teacher": {"centred": 1}}}, "is 1; expected true or f"),
    "a rank in fractions": (
        {"policy": "class-distribution", "options": {"class-distribution": {"rank": 2.5}}},
        "'rank' of 'class-distribution' is 2.5; expected a whole number",
    ),
    "a number for a name": ({"policy": "class-mean", "options": {"class-mean": {"summary": 3}}}, "is 3; expected a text"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_can_not_be_are_refused(case: str) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(EmbedstoreError, match=message) as caught:
        quick(**{"policy": MIXTURE} | changes)
    assert isinstance(caught.value, SettingsError | SummaryError)


def test_options_of_a_policy_that_is_not_used_wait_for_the_run_that_uses_it() -> None:
    options = {"retrieved": {"alpha": 0.3}, "rare-samples": {"summary": "monday"}}
    assert quick(policy="own", options=options).options == options


@pytest.mark.parametrize("name", [name for name in POLICIES if not POLICIES[name].strategy and name != MIXTURE])
def test_a_policy_that_needs_no_summary_takes_none(name: str) -> None:
    with pytest.raises(SettingsError, match=f"'{name}' takes no summary"):
        quick(policy=name, options={name: {"summary": "monday"}})


# Summaries and sources that do not fit


@pytest.mark.parametrize("name", ["class-mean", "rotated-means"])
def test_a_summary_with_several_prototypes_of_a_label_is_refused(name: str, training: TrainingSet) -> None:
    several = summary_of(training, "sub-prototypes", k=3)
    with pytest.raises(
        SummaryError, match=rf"\(sub-prototypes\) has several prototypes for a label; .* '{name}' takes"
    ):
        POLICIES[name].fit(training, several, 0)


def test_a_summary_that_keeps_no_sample_has_no_rare_ones(training: TrainingSet) -> None:
    with pytest.raises(SummaryError, match=r"'class-mean' \(class-mean\) keeps no samples; the policy 'rare-samples'"):
        POLICIES["rare-samples"].fit(training, summary_of(training, "class-mean"), 0)


def test_a_summary_that_does_not_tell_how_labels_vary_has_no_distributions(training: TrainingSet) -> None:
    with pytest.raises(
        SummaryError,
        match=r"'class-mean' \(class-mean\) does not tell how labels vary; the policy 'class-distribution' takes one made by: "
        "embedstore summarize STORE class-distribution$",
    ):
        POLICIES["class-distribution"].fit(training, summary_of(training, "class-mean"), 0)


@pytest.mark.parametrize(
    "name",
    [name for name in POLICIES if POLICIES[name].strategy and name != "compressed-own"],  # which asks no label
)
def test_a_summary_that_lacks_a_label_is_refused(name: str, training: TrainingSet) -> None:
    without = replace(training, labels=[GOOD if label == DEFECT else label for label in training.labels])
    strategy = POLICIES[name].strategy
    assert strategy is not None
    summary = summary_of(training, strategy)
    summary = replace(summary, labels=[GOOD if label == DEFECT else label for label in summary.labels])
    if name in ("class-distribution", "sub-prototypes", "rare-samples"):
        with pytest.raises(SummaryError, match=f"has no prototype for the label '{DEFECT}'; make it again"):
            POLICIES[name].fit(training, summary, 0)
        assert POLICIES[name].fit(without, summary, 0) is not None
    else:
        with pytest.raises(SummaryError, match="has several prototypes"):
            POLICIES[name].fit(training, summary, 0)


@pytest.mark.parametrize("name", ["sub-prototypes", "rare-samples"])
def test_a_summary_that_has_not_seen_a_training_picture_is_refused(name: str, training: TrainingSet) -> None:
    new = of_label(training, GOOD)[0]
    others = replace(training, positions=np.delete(training.positions, new))
    with pytest.raises(
        SummaryError, match=f"does not know the training picture '{training.ids[new]}', and its label has"
    ):
        POLICIES[name].fit(training, summary_of(others, name), 0)


def test_a_new_picture_of_a_label_with_one_prototype_is_served_by_it(training: TrainingSet) -> None:
    new = of_label(training, GOOD)[0]
    others = replace(training, positions=np.delete(training.positions, new))
    policy = POLICIES["class-mean"].fit(training, summary_of(others, "class-mean"), 0)
    assert policy is not None
    targets = whole(policy, training).vectors
    np.testing.assert_array_equal(targets[new], targets[of_label(training, GOOD)[1]])


@pytest.mark.parametrize("name", ["sub-prototypes", "rare-samples"])
def test_a_summary_that_knows_fewer_views_than_the_run_is_refused(name: str, training: TrainingSet) -> None:
    summary = summary_of(training, name)
    fewer = replace(summary, serving=summary.serving[:, :VIEWS])
    with pytest.raises(SummaryError, match=f"does not know view {VIEWS}, and its label has several prototypes"):
        POLICIES[name].fit(training, fewer, 0)
    assert POLICIES[name].fit(replace(training, views=VIEWS - 1), fewer, 0) is not None


@pytest.mark.parametrize("name", ["sub-prototypes", "rare-samples"])
def test_a_summary_that_knows_a_picture_by_another_label_is_refused(name: str, training: TrainingSet) -> None:
    labels = list(training.labels)
    moved = of_label(training, GOOD)[0]
    labels[moved] = DEFECT
    with pytest.raises(SummaryError, match=f"'{training.ids[moved]}' as '{GOOD}', not as '{DEFECT}'; make it again"):
        POLICIES[name].fit(replace(training, labels=labels), summary_of(training, name), 0)


@pytest.mark.parametrize("name", [name for name in POLICIES if POLICIES[name].reads_vectors])
def test_a_policy_that_needs_every_vector_is_refused_where_only_a_summary_is(
    name: str, vector_store: EmbeddingStore, tmp_path: Path
) -> None:
    with make_store(tmp_path / "store") as store:
        store.summarize("class-mean", name="monday", split="train")
        export(store, tmp_path / "monday.safetensors", summary="monday")
    file = SummaryFile(tmp_path / "monday.safetensors")
    training = TrainingSet.from_source(file, training_of(vector_store).positions)
    for asked, weights in ((name, {}), (MIXTURE, everyone({"class-mean": 1, name: 1}))):
        with pytest.raises(
            SettingsError, match=f"'{name}' needs every picture's own vector, which a summary file does"
        ):
            make_policy(asked, training, seed=0, options={}, weights=weights, summary_of=lambda *_: file.kept)
