"""Files that may be hostile: what is no terminal model, or does not do what it promises, is refused in one sentence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_facts import FACTS

from distill.terminal.facts import KEY, Facts, Map
from distill.terminal.model import TerminalModel, as_input
from embedstore.errors import ModelError
from embedstore.views import Recipe, student_picture

onnx = pytest.importorskip("onnx")

PICTURE = np.zeros((20, 30, 3), np.uint8)
BARE = replace(FACTS, classes=("bad", "good"), centre=None, no_vectors="none is there", features=3)


def written(
    path: Path,
    facts: Facts | None = BARE,
    said: tuple[float, ...] = (0.25, 0.75),
    kind: str = "UINT8",
    features: int = 3,
    where: np.ndarray | None = None,
) -> Path:
    """Write a model that says the same of each picture."""
    helper, kinds = onnx.helper, onnx.TensorProto
    constants = [
        helper.make_node("Constant", [], ["p"], value=helper.make_tensor("p", kinds.DOUBLE, [len(said)], said)),
        helper.make_node(
            "Constant", [], ["f"], value=helper.make_tensor("f", kinds.FLOAT, [features], [1.0] * features)
        ),
    ]
    copies = [helper.make_node("Identity", [one], [name]) for one, name in (("p", "probabilities"), ("f", "features"))]
    given = [
        helper.make_tensor_value_info("probabilities", kinds.DOUBLE, None),
        helper.make_tensor_value_info("features", kinds.FLOAT, None),
    ]
    if where is not None:
        table = helper.make_tensor("w", kinds.FLOAT, where.shape, where.flatten())
        constants.append(helper.make_node("Constant", [], ["where"], value=table))
        given.append(helper.make_tensor_value_info("where", kinds.FLOAT, None))
    graph = helper.make_graph(
        [*constants, *copies],
        "same",
        [helper.make_tensor_value_info("picture", getattr(kinds, kind), ["h", "w", 3])],
        given,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    if facts is not None:
        helper.set_model_props(model, {KEY: facts.to_json()})
    onnx.save(model, path)
    return path


def test_one_that_keeps_its_promise_is_asked(tmp_path: Path) -> None:
    seen = TerminalModel(written(tmp_path / "a.onnx")).look(PICTURE)
    assert (seen.probabilities.tolist(), seen.features.tolist(), seen.projected) == ([0.25, 0.75], [1, 1, 1], None)


def test_a_map_is_given_as_it_is(tmp_path: Path) -> None:
    where = np.arange(9, dtype=np.float32).reshape(3, 3)
    facts = replace(BARE, where=Map(3, "squash"))
    seen = TerminalModel(written(tmp_path / "a.onnx", facts, where=where)).look(PICTURE)
    assert seen.where is not None
    np.testing.assert_array_equal(seen.where, where)
    assert seen.projected is None
    with pytest.raises(ModelError, match="does not give what its facts promise"):
        TerminalModel(written(tmp_path / "a.onnx", where=where))
    with pytest.raises(ModelError, match="does not give what its facts promise"):
        TerminalModel(written(tmp_path / "a.onnx", facts))


@pytest.mark.parametrize("where", [np.zeros((3, 2)), np.zeros(9), np.zeros((4, 4)), np.full((3, 3), np.inf)])
def test_a_map_of_another_form_is_told(where: np.ndarray, tmp_path: Path) -> None:
    model = TerminalModel(written(tmp_path / "a.onnx", replace(BARE, where=Map(3, "squash")), where=where))
    with pytest.raises(ModelError, match="gives no answer of the promised form"):
        model.look(PICTURE)


@pytest.mark.parametrize(
    ("facts", "kind", "reason"),
    [
        (None, "UINT8", "says nothing of labels and threshold"),
        (BARE, "FLOAT", "does not take a picture"),
        (
            replace(BARE, centre=np.ones(2, np.float32), no_vectors=None),
            "UINT8",
            "does not give what its facts promise",
        ),
        (replace(BARE, precision="int2"), "UINT8", "its 'precision' is 'int2'"),
    ],
)
def test_what_is_no_terminal_model_is_refused(facts: Facts | None, kind: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"is no terminal model \(.*{reason}\); write one with: distill export"):
        TerminalModel(written(tmp_path / "a.onnx", facts, kind=kind))


@pytest.mark.parametrize(
    ("said", "features", "reason"),
    [
        ((0.2, 0.3, 0.5), 3, "gives no answer of the promised form"),
        ((0.25, 0.75), 4, "gives no answer of the promised form"),
        ((float("nan"), 0.75), 3, "gives no answer of the promised form"),
        ((0.5, 0.75), 3, "gives probabilities that are none"),
        ((-0.5, 1.5), 3, "gives probabilities that are none"),
    ],
)
def test_a_broken_promise_is_told(said: tuple[float, ...], features: int, reason: str, tmp_path: Path) -> None:
    model = TerminalModel(written(tmp_path / "a.onnx", said=said, features=features))
    with pytest.raises(ModelError, match=reason):
        model.look(PICTURE)


def test_nonsense_and_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "n.onnx").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="is no ONNX model that onnxruntime can run"):
        TerminalModel(tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="There is no file"):
        TerminalModel(tmp_path / "none.onnx")


def test_no_model_makes_another_file_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load(written(tmp_path / "a.onnx"))
    del model.graph.node[1]  # the features come from elsewhere
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, np.float32), "f"))
    onnx.save(model, tmp_path / "inside.onnx")
    assert TerminalModel(tmp_path / "inside.onnx").look(PICTURE).features.tolist() == [1, 1, 1]  # the control
    onnx.save(model, tmp_path / "b.onnx", save_as_external_data=True, location="beside.bin", size_threshold=0)
    assert (tmp_path / "beside.bin").stat().st_size == 12
    monkeypatch.chdir(tmp_path)  # where a path in the model would lead to it
    with pytest.raises(ModelError, match="is no ONNX model that onnxruntime can run"):
        TerminalModel(tmp_path / "b.onnx")


def test_a_picture_is_prepared_as_the_store_does_it(tmp_path: Path) -> None:
    model = TerminalModel(written(tmp_path / "a.onnx", replace(BARE, student_side=32)))
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 50)).astype(np.uint8))
    expected = np.asarray(student_picture(grey, Recipe(student_side=32)))
    prepared = model.prepared(grey)
    assert prepared.shape == (51, 32, 3)
    for channel in range(3):
        np.testing.assert_array_equal(prepared[:, :, channel], expected)
    colours = np.random.default_rng(1).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(as_input(colours), colours)
