"""How many pictures a network is best shown at once where it does not learn: milliseconds a picture, by how many, in one run.

    python tools/bench/asking.py [--students small medium ...] [--sizes 96 160 224] [--batches 1 4 16 64] [--threads 1]

The least of some rounds over 64 pictures, random weights. The last column is what `distill.students.student.few_at_a_time` takes.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1])]

from distill.students import Student, make_student  # noqa: E402
from distill.students.student import few_at_a_time  # noqa: E402

STUDENTS = ("small", "medium", "trunk:efficientnet-lite0:5")
SIZES, BATCHES = (96, 160, 224), (1, 2, 4, 8, 16, 32, 64)
PICTURES, ROUNDS = 64, 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", nargs="+", default=STUDENTS)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{'ms a picture, so many at once':36}"
        + "".join(f"{batch:>8}" for batch in options.batches)
        + f"{'as taken':>16}"
    )
    for name in options.students:
        for size in options.sizes:
            student = make_student(name, 2, size, 0, pretrained=False).eval()
            pixels = torch.randint(0, 256, (PICTURES, 3, size, size), dtype=torch.uint8)
            taken = len(few_at_a_time(pixels)[0])
            times = {batch: milliseconds(student, pixels, batch) for batch in (*options.batches, taken)}
            cells = "".join(f"{times[batch]:8.2f}" for batch in options.batches)
            print(f"{name:30}{size:6}{cells}{f'{times[taken]:.2f} (by {taken})':>16}", flush=True)


def milliseconds(student: Student, pixels: torch.Tensor, batch: int) -> float:
    """Return the least time of some rounds, for one picture."""
    least = float("inf")
    with torch.inference_mode():
        student(pixels[:batch])  # to warm up
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            for some in torch.split(pixels, batch):
                student(some)
            least = min(least, time.perf_counter() - begun)
    return 1000 * least / len(pixels)


if __name__ == "__main__":
    main()
