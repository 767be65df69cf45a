"""A Parquet file with a row for each sample: its fields as columns of text, its vector as a list of float32.

Embedding Atlas (https://github.com/apple/embedding-atlas) opens it: `embedding-atlas FILE.parquet --vector vector`. Its
`load_pandas_data` reads the file by pandas, and `compute_projection` takes a column whose cells are one-dimensional arrays,
whatever the type of list. Release 0.26 was tried with lists of fixed size, which pandas and DuckDB read as well and which tell
the dimension before a row is read.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from embedstore.errors import MissingPackageError
from embedstore.exports.selection import Selection

VECTOR = "vector"
ABOUT = "embedstore"  # in the schema's metadata: what the file says of where it is from


def write(selection: Selection, path: Path) -> None:
    """Write a Parquet file, one row group after another.

    Raises:
        MissingPackageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("Writing Parquet needs pyarrow: pip install 'embedstore[parquet]'") from error
    texts = selection.texts()
    vector = VECTOR
    while vector in texts:  # an attribute of that name
        vector += "_"
    kind = pyarrow.list_(pyarrow.float32(), selection.dim)
    schema = pyarrow.schema(
        [*((name, pyarrow.string()) for name in texts), (vector, kind)],
        metadata={ABOUT: json.dumps(selection.about)},
    )
    first = 0
    with pyarrow.parquet.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=list(texts), write_page_checksum=True
    ) as writer:
        for block in selection.blocks():
            stop = first + len(block)
            columns = [pyarrow.array(cells[first:stop], pyarrow.string()) for cells in texts.values()]
            values = pyarrow.array(block.astype(np.float32).ravel())
            columns.append(pyarrow.FixedSizeListArray.from_arrays(values, type=kind))
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))
            first = stop
