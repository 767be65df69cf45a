"""What bfloat16 gains on this processor: milliseconds a picture and training step, by student and precision, in one run.

    python tools/bench/precision.py [--students small medium resnet18 ...] [--size 96] [--batch 32] [--steps 8]

A step is the student forwards and backwards, one thread, the least of some steps; what else a training does is not in it. Without
instructions for bfloat16 (avx512_bf16, amx_bf16) it takes many times as long.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1])]

from distill.students import make_student  # noqa: E402
from distill.training.precision import layers_in  # noqa: E402

STUDENTS = ("small", "medium", "trunk:efficientnet-lite0:5", "mobilenetv3_small_050", "resnet18")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", nargs="+", default=STUDENTS)
    for name, default in (("size", 96), ("batch", 32), ("steps", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    has = torch.cpu.get_capabilities()
    print(
        f"Instructions for bfloat16: {', '.join(one for one in ('avx512_bf16', 'amx_bf16') if has.get(one)) or 'none'}"
    )
    print(f"{'ms a picture and step':32}{'float32':>10}{'bfloat16':>10}{'ratio':>8}")
    for name in options.students:
        wide, narrow = (
            milliseconds(name, dtype, options.size, options.batch, options.steps)
            for dtype in (torch.float32, torch.bfloat16)
        )
        print(f"{name:32}{wide:10.2f}{narrow:10.2f}{narrow / wide:8.2f}", flush=True)


def milliseconds(name: str, dtype: torch.dtype, size: int, batch: int, steps: int) -> float:
    """Return the least time of some steps, for one picture of the batch."""
    student = make_student(name, 2, size, 0, pretrained=False).train()
    pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    least = float("inf")
    for _ in range(steps + 2):  # two to warm up
        begun = time.perf_counter()
        with layers_in(dtype, pixels.device):
            features, logits = student(pixels)
        (features.float().sum() + logits.float().sum()).backward()
        least = min(least, time.perf_counter() - begun)
        student.zero_grad(set_to_none=True)
    return 1000 * least / batch


if __name__ == "__main__":
    main()
