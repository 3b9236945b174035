"""Bytes that are text in the encoding that was named, and those that are not."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import IO

from tutelage.core.errors import SourceError

_PROBE_BYTES = 1 << 20
_COMMON = "common ones: utf-8, cp1252, utf-16"


def open_text(path: Path, encoding: str, newline: str | None = None) -> IO[str]:
    """Open a text file: without a byte order mark, and with bytes that are no text as lone surrogates."""
    return path.open(encoding=without_mark(encoding), errors="surrogateescape", newline=newline)


def without_mark(encoding: str) -> str:
    """The codec that leaves out a byte order mark."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def undecoded(cells: list[str], encoding: str) -> str:
    """What is wrong with a row in which bytes that are no text were read as lone surrogates; else nothing."""
    if any("\udc80" <= char <= "\udcff" for cell in cells for char in cell if not char.isascii()):
        return f"is not {encoding.upper()}; if the whole file is in another encoding, name it with --encoding"
    return ""


def undecodable(path: Path, encoding: str, error: UnicodeError | LookupError) -> SourceError:
    """The error of a file that cannot be read in this encoding at all."""
    return SourceError(f"{path}: --encoding {encoding}: {error}; {_COMMON}")


def check_codec(encoding: str) -> None:
    """Refuse a name that is no encoding's.

    Raises
    ------
    SourceError
        Naming some that are.
    """
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise SourceError(f"--encoding {encoding}: {error}; {_COMMON}") from None


def check_encoding(path: Path, encoding: str) -> None:
    """Refuse a file that is in another encoding throughout; single bad rows are rejected as they come.

    Raises
    ------
    SourceError
        Naming an encoding that it may be in.
    """
    with path.open("rb") as file:
        probe = file.read(_PROBE_BYTES)
    try:
        "a".encode(encoding)  # a LookupError for what is no encoding of texts
        lines = codecs.getincrementaldecoder(encoding)("surrogateescape").decode(probe).splitlines()
    except (LookupError, UnicodeError) as error:
        raise undecodable(path, encoding, error) from None
    foreign = [line for line in lines if not line.isascii()]
    bad = sum(1 for line in foreign if undecoded([line], encoding))
    nul = sum(1 for line in lines if "\0" in line)
    if nul > len(lines) / 2 or (bad >= 3 and bad > len(foreign) / 2):
        guess = "utf-16" if b"\0" in probe[:1000] else "cp1252"
        raise SourceError(f"{path}: is not {encoding.upper()}; name its encoding, for example --encoding {guess}")
