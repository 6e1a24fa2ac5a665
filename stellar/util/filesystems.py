"""Files that functions read: on this machine, or wherever fsspec reaches."""

from __future__ import annotations

from stellar.util.optional_imports import needed


def read(path: str, most: int | None = None) -> bytes:
    """The contents of a file.

    path: a local path, or an address that fsspec can open, such as `hdfs://…` or `s3://…`
    most: how many bytes it may have

    Raises OSError if it can't be read, ValueError if it is larger than that, and LookupError if a package is missing.
    """
    if "://" in path:
        try:
            with needed("fsspec", "files").open(path, "rb") as file:
                data: bytes = file.read(-1 if most is None else most + 1)
        except ImportError as error:  # fsspec's own way to say what a protocol needs
            raise LookupError(f"{path} can't be read: {error}") from error
    else:
        with open(path, "rb") as local:
            data = local.read(-1 if most is None else most + 1)
    if most is not None and len(data) > most:
        raise ValueError(f"{path} has more than {most} bytes")
    return data
