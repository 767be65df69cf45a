import subprocess
import sys

import numpy as np
import pytest
from helpers import noise_picture

from embedstore.teachers import load_teacher
from embedstore.vectors import squared_distances
from embedstore.views import WHOLE, render


def test_a_vector_is_the_grid_of_average_colours_about_mid_grey():
    picture = np.asarray(noise_picture(1, (32, 32)))
    grid = [
        picture[4 * row : 4 * row + 4, 4 * column : 4 * column + 4, channel].mean() - 127.5
        for row in range(8)
        for column in range(8)
        for channel in range(3)
    ]
    found = load_teacher("pixels").embed(picture[None])["embedding"][0]
    np.testing.assert_allclose(found, np.array(grid) / np.linalg.norm(grid), rtol=1e-5)


def test_black_and_white_are_opposite_and_no_picture_is_without_a_direction():
    black, white, grey = (np.full((32, 32, 3), value, np.uint8) for value in (0, 255, 127))
    vectors = load_teacher("pixels").embed(np.stack([black, white, grey]))["embedding"]
    assert vectors[0] @ vectors[1] == pytest.approx(-1)
    assert np.linalg.norm(vectors[2]) == pytest.approx(1)


def test_pictures_that_look_alike_are_near():
    teacher = load_teacher("pixels")
    light = [render(noise_picture(seed, (8, 8)), WHOLE, 32, "squash") for seed in range(6)]
    darker = [(pixels * 0.9).astype(np.uint8) for pixels in light]
    vectors, others = (teacher.embed(np.stack(pictures))["embedding"] for pictures in (light, darker))
    np.testing.assert_array_equal(squared_distances(vectors, others).argmin(1), np.arange(6))


def test_the_fingerprint_is_the_same_in_every_release():
    assert load_teacher("pixels").fingerprint == "d5f498f465ae395da3da471aca18b4b5"


def test_it_needs_no_heavy_package():
    code = (
        "import sys; from embedstore.teachers import load_teacher; load_teacher('pixels');"
        "print([name for name in ('torch', 'timm', 'open_clip', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
