"""Who may import whom: the table of rooms, read from the imports."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("tutelage", "loaders", "feedback", "training")

# What stands in tutelage/ and is no word: steps that need several rooms, and the command line.
STEPS = {"steps", "cli", "commands", "status", "demo", "__main__"}

MAY_IMPORT = {
    "words": {"words"},
    "loaders": {"words", "loaders"},
    "feedback": {"words", "loaders", "feedback"},
    "training": {"words", "loaders", "feedback", "training"},
    "steps": {"words", "loaders", "feedback", "training", "steps"},
    "embedded": {"embedded"},
}

READ_GOLD = {"training/evaluate.py", "training/sheet.py", "tutelage/demo.py"}  # and benchmarks


def files() -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return named(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_of(path): path for path in files()}


def room_of(module: str) -> str:
    top, _, rest = module.partition(".")
    if module.startswith("feedback.embedded"):
        return "embedded"
    if top == "tutelage":
        return "steps" if rest.split(".")[0] in STEPS else "words"
    return top


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """What a file imports, anywhere in it: module and name ('' for the module itself)."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module_of(path).split(".")[: -node.level] if node.level else []
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def ours(path: Path) -> set[str]:
    """The modules of ours that a file imports."""
    found = set()
    for module, name in imports_of(path):
        found |= {candidate for candidate in (module, f"{module}.{name}") if candidate in MODULES}
    return found - {module_of(path)}


def users_of(library: str) -> set[str]:
    return {named(path) for path in files() if any(m.split(".")[0] == library for m, _ in imports_of(path))}


def test_the_rooms_are_those_of_the_table() -> None:
    assert len(MODULES) > 40
    assert {room_of(module) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", [*files()], ids=named)
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    room = room_of(module_of(path))
    wrong = {module for module in ours(path) if room_of(module) not in MAY_IMPORT[room]}
    assert not wrong, f"{named(path)} ({room}) imports {sorted(wrong)}"


def test_one_file_imports_the_argilla_sdk() -> None:
    assert users_of("argilla") == {"feedback/client.py"}


def test_one_file_talks_to_the_teachers_endpoint() -> None:
    assert users_of("openai") == {"loaders/teacher/endpoint.py"}


def test_the_embedded_argilla_stands_apart() -> None:
    names = {path.stem for path in (ROOT / "feedback" / "embedded").glob("*.py")}
    for path in (ROOT / "feedback" / "embedded").glob("*.py"):
        elsewhere = {module for module, _ in imports_of(path) if not module.startswith("feedback.embedded")}
        assert not {module.split(".")[0] for module in elsewhere} & {*ROOMS, "tests", "benchmarks"}, named(path)
    assert users_of("argilla_server") <= {f"feedback/embedded/{name}.py" for name in names}


def test_gold_is_read_by_evaluation_only() -> None:
    readers = {named(path) for path in files() if ("loaders.gold", "read_gold") in set(imports_of(path))}
    assert readers <= READ_GOLD
    assert readers & READ_GOLD
    assert not [path for path in files() if ("loaders.gold", "") in set(imports_of(path))], "not past this test either"


def test_what_reads_gold_serves_nothing_that_pushes_ranks_trains_or_predicts() -> None:
    readers = {path.removesuffix(".py").replace("/", ".") for path in READ_GOLD}
    users = {module for module, path in MODULES.items() if ours(path) & readers} - readers
    assert {room_of(module) for module in users} <= {"steps", "training"}
    loop = [m for m in MODULES if room_of(m) in {"loaders", "feedback"} or m in {"tutelage.steps", "training.train"}]
    assert not {m for m in loop if reaches(m) & readers}


def reaches(module: str) -> set[str]:
    """All that a module imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = ours(MODULES[waiting.pop()]) - found
        found |= new
        waiting += new
    return found


def test_no_module_imports_itself_round_a_corner() -> None:
    circles = sorted(module for module in MODULES if module in reaches(module))
    assert circles == []


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    """``tutelage --help`` answers at once."""
    heavy = {"torch", "transformers", "datasets", "cleanlab", "argilla", "sklearn", "pandas", "pyarrow", "matplotlib"}
    light = [path for path in files() if room_of(module_of(path)) in {"words", "loaders", "feedback"}]
    for path in itertools.chain(light, [ROOT / "tutelage" / "cli.py", *(ROOT / "tutelage" / "commands").glob("*.py")]):
        tree = ast.parse(path.read_text("utf-8"))
        at_top = {
            name.split(".")[0]
            for node in tree.body
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not at_top & heavy, named(path)
