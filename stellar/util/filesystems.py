"""Reading of files, local or of any file system that fsspec supports."""

from __future__ import annotations

from stellar.util.optional_imports import import_optional


class FileTooLarge(ValueError):
    """A file is larger than the caller accepts."""

    def __init__(self, path: str, most: int) -> None:
        super().__init__(f"{path} has more than {most} bytes")


def read(path: str, most: int | None = None) -> bytes:
    """Return the contents of a file.

    path: a local path, or a URL for fsspec, such as `hdfs://…` or `s3://…`
    most: maximum size in bytes; None for any size

    Raises OSError if the file can't be read, FileTooLarge if it is too large, and LookupError if a package is missing.
    """
    if "://" in path:
        try:
            with import_optional("fsspec", "files").open(path, "rb") as file:
                data: bytes = file.read(-1 if most is None else most + 1)
        except ImportError as error:  # raised by fsspec for a protocol that needs another package
            raise LookupError(f"{path} can't be read: {error}") from error
    else:
        with open(path, "rb") as local:
            data = local.read(-1 if most is None else most + 1)
    if most is not None and len(data) > most:
        raise FileTooLarge(path, most)
    return data
