"""Small vector arithmetic that teachers, summaries and target policies share."""

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


def unit_length(vectors: npt.ArrayLike) -> Vectors:
    """Scale each row of (n, d) to length 1 as float32; a row of zeros stays zeros."""
    wide = np.asarray(vectors, np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    return np.divide(wide, length, out=np.zeros_like(wide), where=length > 0).astype(np.float32)


def squared_distances(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the squared Euclidean distances (n, m) between the rows of (n, d) and (m, d), never below 0."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1)[None, :] - 2 * (x @ y.T)
    return np.maximum(squares, 0)
