"""Pictures in Parquet files of the Hugging Face layout: columns image{bytes, path} (or img) and label.

    FOLDER/train-*.parquet, FOLDER/validation-*.parquet (or val-*, test-*)

A row of Parquet cannot be read by itself, and training reads in random order: the rows are copied once into an Arrow
file in the cache folder, which is mapped into memory and read where it is.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import atomic_file, cache_dir
from ..progress import bar_file

PREFIXES = {"train": ("train",), "test": ("validation", "val", "test")}
ROWS = 256  # of a batch that is copied


class ParquetRows:
    """The source of pictures in Parquet files; ``labels`` int64 [N] and ``class_names`` beside them."""

    def __init__(self, files: list):
        import pyarrow

        self.files = [Path(file) for file in files]
        copy = _arrow_file(self.files)
        try:
            self.table = pyarrow.ipc.open_file(pyarrow.memory_map(str(copy))).read_all()
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{copy}, the copy of {self.files[0]}, is damaged: {error}; delete the copy") from error
        self.labels = self.table.column("label").to_numpy().astype(np.int64)
        self.class_names = _class_names(self.table.schema, self.labels)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index: int):
        return f"{self.files[0].parent}, row {index}", self.table.column("bytes")[index].as_py()


def load_parquet(folder: Path, split: str):
    """(source, labels, class names) of one split. Raises DataError."""
    for prefix in PREFIXES[split]:
        if files := sorted(folder.glob(f"{prefix}-*.parquet")):
            rows = ParquetRows(files)
            return rows, rows.labels, rows.class_names
    raise DataError(f"{folder} has no {'-*.parquet or '.join(PREFIXES[split])}-*.parquet")


def _arrow_file(files: list) -> Path:
    """The rows of all files as one Arrow file in the cache: columns bytes and label."""
    key = hashlib.sha256()
    for file in files:
        status = file.stat()
        key.update(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    target = cache_dir() / f"parquet-{key.hexdigest()[:16]}.arrow"
    if not target.exists():
        _copy(files, target)
    return target


def _copy(files: list, target: Path) -> None:
    import pyarrow
    from tqdm import tqdm

    with atomic_file(target) as stream:
        writer = None
        for file in tqdm(files, "copy Parquet", leave=False, file=bar_file()):
            for batch in encoded_rows(file, ("image", "img"), "label"):
                writer = writer or pyarrow.ipc.new_file(stream, batch.schema)
                writer.write_batch(batch)
        if writer is None:
            raise DataError(f"{files[0]} and the files beside it hold no rows")
        writer.close()


def encoded_rows(file: Path, pictures: tuple, label: str):
    """Yield record batches of a Parquet file: large_binary "bytes", int64 "label" and the file's metadata.

    pictures: names of a column of {bytes, path}, the first of which that is there is taken.  label: name of the column
    of whole numbers.
    Raises DataError where the file is no Parquet or has other columns, and where a row has no label.
    """
    import pyarrow
    import pyarrow.parquet

    first = 0
    try:
        rows = pyarrow.parquet.ParquetFile(file)
        column = next((name for name in pictures if name in rows.schema_arrow.names), pictures[0])
        for name, good in ((column, pyarrow.types.is_struct), (label, pyarrow.types.is_integer)):
            kind = rows.schema_arrow.field(name).type
            if not good(kind):
                raise TypeError(f"column {name} is {kind}")
        schema = pyarrow.schema(
            [("bytes", pyarrow.large_binary()), ("label", pyarrow.int64())], rows.schema_arrow.metadata
        )
        for batch in rows.iter_batches(ROWS, columns=[column, label]):
            labels = batch.column(label).cast(pyarrow.int64())
            if labels.null_count:
                row = first + labels.is_null().index(True).as_py()
                raise DataError(f"{file}, row {row} has no {label}; add it or take the row out")
            content = batch.column(column).field("bytes").cast(pyarrow.large_binary())
            yield pyarrow.record_batch([content, labels], schema=schema)
            first += len(batch)
    except (pyarrow.ArrowException, OSError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} is not Parquet with {pictures[0]}{{bytes, path}} and {label}, whole numbers: {error}; "
            "write it in Hugging Face's layout"
        ) from error


def _class_names(schema, labels) -> tuple:
    """The names that Hugging Face writes into the schema, else "0", "1", ... up to the largest label."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return tuple(features["label"]["names"])
    except (KeyError, TypeError, ValueError):
        return tuple(str(label) for label in range(int(labels.max(initial=0)) + 1))
