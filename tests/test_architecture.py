"""Who may import whom: the table of wings in CONTRIBUTING.md, held against the imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINKED = ("loaders", "feedback", "training")
"""Folders beside ``tutelage/`` that links in it make its packages."""

FILES_A_WING = 12
APART = "feedback/embedded"
ONE_NAME = {
    "fit": "the interface of a kind of student",
    "main": "the entry point of a program",
}
"""Public names that several modules define, and why."""

WIDE = 5
"""Fields from which a dataclass takes keywords only: in a long row of values two are swapped unseen."""

READ_GOLD = {"training/evaluation/gold_set.py", "tutelage/steps/demo.py"}  # and benchmarks
ROW = re.compile(r"^\| `(?P<wing>[\w/.]+)` \| .* \| (?P<imports>[^|]*) \|$", re.MULTILINE)


def wings() -> dict[str, set[str]]:
    """Each wing and the wings it may import, in the order of the table: from the ground up."""
    table: dict[str, set[str]] = {}
    for row in ROW.finditer((ROOT / "CONTRIBUTING.md").read_text("utf-8")):
        named = set(re.findall(r"`([\w/.]+)`", row["imports"]))
        table[row["wing"]] = set(table) - {APART} if row["imports"] == "all above" else named
    return table


WINGS = wings()


def files() -> Iterator[Path]:
    for room in ("tutelage", *LINKED):
        for path in sorted((ROOT / room).rglob("*.py")):
            if not any(path.is_relative_to(ROOT / "tutelage" / name) for name in LINKED):
                yield path


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    name = named(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return name if name.startswith("tutelage") else f"tutelage.{name}"


MODULES = {module_of(path): path for path in files()}


def wing_of(module: str) -> str:
    """The longest row of the table that holds the module; its file's own row where it has one."""
    name = named(MODULES[module]).removeprefix("tutelage/")
    holds = [wing for wing in WINGS if name == wing or name.startswith(f"{wing}/")]
    return max(holds, key=len, default="")


def wings_of_modules() -> dict[str, str]:
    front = {"tutelage", "tutelage.__main__", "tutelage.sample"}
    return {module: wing_of(module) for module in MODULES if module not in front}


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
    """The modules of ours that a file imports; the root, which holds the version and the front door, is none."""
    found = set()
    for module, name in imports_of(path):
        found |= {candidate for candidate in (module, f"{module}.{name}") if candidate in MODULES}
    return found - {module_of(path), "tutelage"}


def users_of(library: str) -> set[str]:
    return {named(path) for path in files() if any(m.split(".")[0] == library for m, _ in imports_of(path))}


def reaches(module: str) -> set[str]:
    """All that a module imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = ours(MODULES[waiting.pop()]) - found
        found |= new
        waiting += new
    return found


# Wings


def test_every_module_stands_in_a_wing_and_every_wing_has_modules() -> None:
    held = wings_of_modules()
    assert len(held) > 100
    assert [module for module, wing in held.items() if not wing] == []
    assert set(held.values()) == set(WINGS)


def test_the_table_runs_from_the_ground_up() -> None:
    for place, (wing, may_import) in enumerate(WINGS.items()):
        above = may_import - set(list(WINGS)[:place])
        assert not above, f"{wing} may import {sorted(above)}, which stands above it or is no wing"


@pytest.mark.parametrize("path", [*files()], ids=named)
def test_a_file_imports_only_what_its_wing_may(path: Path) -> None:
    held = wings_of_modules()
    wing = held.get(module_of(path))
    if wing is None:
        assert named(path).startswith("tutelage/"), "the front door"
        return
    imported = {module: held[module] for module in ours(path) if module in held}
    wrong = {module: there for module, there in imported.items() if there not in WINGS[wing] | {wing}}
    assert not wrong, f"{named(path)} ({wing}) imports {wrong}"


def test_what_a_wing_may_import_it_does_import() -> None:
    """A row that allows more than the code needs hides the next wrong import."""
    held = wings_of_modules()
    used = {(held[module], held.get(other)) for module in held for other in ours(MODULES[module])}
    lists = {
        wing: allowed for wing, allowed in WINGS.items() if wing not in {"project.py", "commands", "commands/terminal"}
    }
    idle = [(wing, other) for wing, allowed in lists.items() for other in allowed if (wing, other) not in used]
    assert idle == []


def test_no_wing_is_larger_than_a_reader_can_hold() -> None:
    held = wings_of_modules()
    sizes = Counter(wing for module, wing in held.items() if MODULES[module].name != "__init__.py")
    del sizes[APART]  # laid out as the Argilla server needs it
    assert {wing: count for wing, count in sizes.items() if count > FILES_A_WING} == {}


def test_no_two_modules_have_one_name() -> None:
    stems = Counter(
        path.stem
        for path in files()
        if path.name != "__init__.py" and not named(path).startswith((APART, "tutelage/commands/"))
    )
    assert [stem for stem, count in stems.items() if count > 1] == []


def definitions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Every module's top-level functions and classes."""
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield module, node


def test_no_two_public_functions_or_classes_have_one_name() -> None:
    names = Counter(node.name for _, node in definitions() if not node.name.startswith("_"))
    assert {name for name, count in names.items() if count > 1} == ONE_NAME.keys()


def test_wide_values_are_dataclasses_that_take_keywords_only() -> None:
    wide = {
        f"{module}.{node.name}": ast.unparse(node)
        for module, node in definitions()
        if isinstance(node, ast.ClassDef) and sum(isinstance(part, ast.AnnAssign) for part in node.body) >= WIDE
    }
    made = {name: text for name, text in wide.items() if text.startswith("@dataclass") or "(NamedTuple)" in text}
    assert len(made) > 30
    assert [name for name, text in made.items() if "kw_only=True" not in text.partition("class ")[0]] == []


def test_no_module_imports_itself_round_a_corner() -> None:
    circles = sorted(module for module in MODULES if module in reaches(module))
    assert circles == []


# One place for one thing


def test_one_file_imports_the_argilla_sdk() -> None:
    assert users_of("argilla") == {"feedback/argilla/client.py"}


def test_one_file_talks_to_the_teachers_endpoint() -> None:
    assert users_of("openai") == {"loaders/models/endpoint.py"}


def test_the_embedded_argilla_stands_apart() -> None:
    names = {path.stem for path in (ROOT / APART).glob("*.py")}
    for path in (ROOT / APART).glob("*.py"):
        own = module_of(path).rpartition(".")[0]
        elsewhere = {module.split(".")[0] for module, _ in imports_of(path) if not module.startswith(own)}
        assert not elsewhere & {"tutelage", *LINKED, "tests", "benchmarks"}, named(path)
    assert users_of("argilla_server") <= {f"{APART}/{name}.py" for name in names}


def test_every_student_kind_and_engine_can_be_had_by_its_entry() -> None:
    from importlib import import_module

    from tutelage.training.prediction.engines import engine_table
    from tutelage.training.students.kinds import KINDS

    for kind in KINDS.values():
        module = import_module(f"tutelage.training.students.{kind.module}")
        assert callable(module.fit)
        assert callable(module.load)
    for engine in engine_table.ENGINES.values():
        module = import_module(f"tutelage.training.prediction.engines.{engine.module}")
        assert callable(getattr(module, engine.factory))
        assert hasattr(module, "KIND") == engine.exports


# Gold


def test_gold_is_read_by_evaluation_only() -> None:
    readers = {named(path) for path in files() if ("tutelage.loaders.gold", "read_gold") in set(imports_of(path))}
    assert readers <= READ_GOLD
    assert readers & READ_GOLD
    past = [
        path for path in files() if {("tutelage.loaders.gold", ""), ("tutelage.loaders", "gold")} & {*imports_of(path)}
    ]
    assert not past, "not past this test either"


def test_what_reads_gold_serves_nothing_that_pushes_ranks_trains_or_predicts() -> None:
    held = wings_of_modules()
    readers = {module_of(ROOT / path) for path in READ_GOLD}
    users = {module for module, path in MODULES.items() if ours(path) & readers} - readers
    assert {held[module] for module in users} <= {
        "project.py",
        "steps",
        "commands",
        "training/evaluation",
        "report/figures",
    }
    for module in MODULES:
        if (
            held.get(module, "").startswith(("loaders", "feedback", "training"))
            and held[module] != "training/evaluation"
        ):
            assert not reaches(module) & readers, module


# Light


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    """``tutelage --help`` answers at once."""
    heavy = {"torch", "transformers", "datasets", "cleanlab", "argilla", "sklearn", "pandas", "pyarrow", "matplotlib"}
    light = ("core", "loaders", "feedback", "project", "commands")
    held = wings_of_modules()
    for module in (module for module, wing in held.items() if wing.startswith(light) and wing != APART):
        at_top = set(_top_level(ast.parse(MODULES[module].read_text("utf-8"))))
        assert not at_top & heavy, module


def _top_level(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def test_help_and_the_front_door_load_nothing_heavy() -> None:
    code = "import sys, tutelage, tutelage.commands.cli as c; [c.cli.get_command(None, n) for n in c.COMMANDS]; "
    code += "print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not set(loaded.split()) & {"numpy", "pandas", "pydantic", "httpx", "torch", "yaml", "sklearn"}
