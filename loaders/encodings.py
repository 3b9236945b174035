"""Text files, compressed or not: which bytes can be decoded, and which cannot."""

from __future__ import annotations

import codecs
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from tutelage.core.errors import SourceError

_PROBE_BYTES = 1 << 20
_COMMON = "common encodings: utf-8, cp1252, utf-16"
_COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}


def format_of(path: Path) -> str:
    """The file name's ending in lower case, without that of a compression: ``.csv`` for ``news.csv.gz``."""
    inner = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    return inner.suffix.lower()


def is_compressed(path: Path) -> bool:
    """Whether the name ends in ``.gz``, ``.bz2`` or ``.zst``."""
    return path.suffix.lower() in _COMPRESSED


def open_text(path: Path, encoding: str, newline: str | None = None) -> IO[str]:
    """Open a text file, skipping a byte order mark; undecodable bytes become lone surrogates."""
    return TextIOWrapper(_open(path), without_mark(encoding), "surrogateescape", newline)


def _open(path: Path) -> Any:
    """The file's bytes; of a compressed one they are decompressed as they are read."""
    if not is_compressed(path):
        return path.open("rb")
    import pyarrow as pa

    return pa.input_stream(path, compression=_COMPRESSED[path.suffix.lower()])


def without_mark(encoding: str) -> str:
    """The codec that skips a byte order mark."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def undecoded(cells: list[str], encoding: str) -> str:
    """Why a row with undecodable bytes, which were read as lone surrogates, cannot be used; empty where it can."""
    if any("\udc80" <= char <= "\udcff" for cell in cells for char in cell if not char.isascii()):
        return f"is not {encoding.upper()}; if the whole file has another encoding, pass it with --encoding"
    return ""


def undecodable(path: Path, encoding: str, error: UnicodeError | LookupError) -> SourceError:
    """The error for a file that cannot be decoded at all."""
    return SourceError(f"{path}: --encoding {encoding}: {error}; {_COMMON}")


def check_codec(encoding: str) -> None:
    """Refuse an unknown encoding.

    Raises
    ------
    SourceError
        With common encodings.
    """
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise SourceError(f"--encoding {encoding}: {error}; {_COMMON}") from None


def check_encoding(path: Path, encoding: str) -> None:
    """Refuse a file with another encoding; single undecodable rows are rejected one by one.

    Raises
    ------
    SourceError
        With a guess at its encoding.
    """
    with _open(path) as file:
        probe = file.read(_PROBE_BYTES)
    try:
        "a".encode(encoding)  # raises LookupError for codecs that are no text encodings
        lines = codecs.getincrementaldecoder(encoding)("surrogateescape").decode(probe).splitlines()
    except (LookupError, UnicodeError) as error:
        raise undecodable(path, encoding, error) from None
    foreign = [line for line in lines if not line.isascii()]
    bad = sum(1 for line in foreign if undecoded([line], encoding))
    nul = sum(1 for line in lines if "\0" in line)
    if nul > len(lines) / 2 or (bad >= 3 and bad > len(foreign) / 2):
        guess = "utf-16" if b"\0" in probe[:1000] else "cp1252"
        raise SourceError(f"{path}: is not {encoding.upper()}; pass its encoding, for example --encoding {guess}")
