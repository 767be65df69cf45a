"""A terminal model in 8-bit whole numbers: smaller, and faster where the processor has instructions for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distill.terminal.model import FEATURES, PICTURE, Picture

# Convolutions take nearly all of the time; preprocessing, head and answer stay exact. What cuts off the range of one belongs
# to it: else the 256 steps are spread over a range of which most is cut. Of 4 stages of EfficientNet-Lite0 61 of 263 decisions
# changed without it, and 10 with it.
_CONVOLUTION, _CUTS = "Conv", ("Relu", "Clip")
_LARGE = 1 << 16  # numbers of a table for which it pays to store 16 bits of each


class _Calibration:
    """Gives the training pictures one by one, as onnxruntime asks for them."""

    def __init__(self, pictures: Sequence[Picture]):
        self._coming: Iterator[Picture] = iter(pictures)

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """Return the next picture as the graph takes it; None after the last."""
        picture = next(self._coming, None)
        return None if picture is None else {PICTURE: picture}


def quantise(source: Path, target: Path, pictures: Sequence[Picture]) -> None:
    """Write a model's convolutions in whole numbers: static ranges, a scale for each channel of weights (arXiv 1712.05877).

    Args:
        source: the model in float32.
        target: where to write.
        pictures: of the training side; the ranges of all maps are taken from them.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    CalibrationDataReader.register(_Calibration)
    prepared = target.with_name(f"{target.stem}.prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)  # batch norms go into the weights before
    quantize_static(
        prepared,
        target,
        _Calibration(pictures),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=[_CONVOLUTION, *_CUTS],
        nodes_to_quantize=_nodes(prepared),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()
    _shrink(target)


def _shrink(path: Path) -> None:
    """Undo what preparing a model made larger: the same table several times over, and kept patches of 16 bits in 32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    instead: dict[str, str] = {}
    kept, casts = [], []
    for tensor in model.graph.initializer:
        numbers = numpy_helper.to_array(tensor)
        name = first.setdefault((tensor.data_type, numbers.shape, numbers.tobytes()), tensor.name)
        if name != tensor.name:
            instead[tensor.name] = name
            continue
        kept.append(tensor)
        if tensor.data_type != TensorProto.FLOAT or numbers.size < _LARGE:
            continue
        with np.errstate(over="ignore"):
            halves = numbers.astype(np.float16)
        if np.array_equal(halves.astype(np.float32), numbers):
            kept[-1] = numpy_helper.from_array(halves, f"{name}_halves")
            casts.append(helper.make_node("Cast", [kept[-1].name], [name], to=TensorProto.FLOAT))
    for node in model.graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
    nodes = [*casts, *model.graph.node]
    for held, found in ((model.graph.initializer, kept), (model.graph.node, nodes)):
        del held[:]
        held.extend(found)
    onnx.save(model, path)


def _nodes(path: Path) -> list[str]:
    """Return the names of the student's convolutions, and of what follows one at once and cuts its range off.

    Those that make patches are not among them: they are compared with patches that are kept, from which rounded ones are far.
    """
    import onnx

    nodes = onnx.load(path).graph.node
    needed = {FEATURES}
    for node in reversed(nodes):  # those that make something stand before those that need it
        if needed.intersection(node.output):
            needed.update(node.input)
    made = {name for node in nodes if node.op_type == _CONVOLUTION for name in node.output if name in needed}
    return [
        node.name
        for node in nodes
        if made.intersection(node.output) or (node.op_type in _CUTS and node.input[0] in made)
    ]
