"""The program: ``python -I serve.py --data-dir DIR --socket FD`` (or ``--port N``).

Run as a file with ``-I``, so that neither the caller's environment nor the code around this
folder can get in the way of Argilla's own libraries; the folder then makes itself a package.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from pathlib import Path

PACKAGE = "embedded_argilla"


def become_package() -> None:
    """Make this folder importable as a package, and nothing beside it."""
    here = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(PACKAGE, here / "__init__.py", submodule_search_locations=[str(here)])
    if spec is None:
        raise RuntimeError(f"{here} holds no package: __init__.py is missing.")
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)


def arguments() -> argparse.Namespace:
    """Where the data lie and where to listen; secrets come from the data directory, never from here."""
    parser = argparse.ArgumentParser(description="Argilla on SQLite, in one process.")
    parser.add_argument("--data-dir", type=Path, required=True, help="holds credentials.json and the database")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=int, metavar="FD", help="an inherited listening socket")
    where.add_argument("--port", type=int, help="a port of 127.0.0.1; 0 picks a free one")
    return parser.parse_args()


def main() -> None:
    """Serve until told to stop."""
    options = arguments()
    become_package()
    importlib.import_module(f"{PACKAGE}.app").serve_argilla(options.data_dir.resolve(), options.socket, options.port)


if __name__ == "__main__":
    main()
