"""The laws of moving through the house, held against the source by `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.fhir import identifier

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"

# Who may import whom. An edge never imports another edge; `demo` is data for trying out, loaded by an edge of its own.
BELOW = {
    "fhir": set(),
    "policy": {"fhir"},
    "storage": {"fhir", "policy"},
    "access": {"storage", "policy", "fhir"},
    "interactions": {"access", "storage", "policy", "fhir"},
    "pathways": {"interactions", "access", "storage", "policy", "fhir"},
}
EDGE = {"pathways", *BELOW["pathways"]}
EDGES = ("rest", "smart", "web", "archives", "ingest", "notifications", "transfer")
ALLOWED = BELOW | dict.fromkeys(EDGES, EDGE) | {"demo": EDGE | {"ingest"}}
ALLOWED["web"] = EDGE | {"assets", "demo", "pages"}  # the landing page tells the demo's story
ALLOWED["smart"] = EDGE | {"pages"}  # what every page has in common
EVERYWHERE = {"config", "observability", "printing", "tracing"}
PURE = ("fhir", "policy")
IMPURE = {
    "flask", "sqlalchemy", "requests", "logging", "structlog", "random", "secrets", "time", "os", "socket", "subprocess",
    "threading", "urllib.request", "psycopg", "sqlite3", "alembic",
}  # fmt: skip


def sources(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "app")


def rooms_of(tree: ast.Module) -> set[str]:
    return {name.split(".")[1] for name in imported(tree) if name.startswith("app.")}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    for path, tree in sources(APP / room):
        wrong = rooms_of(tree) - ALLOWED[room] - {room}
        if room not in PURE:
            wrong -= EVERYWHERE
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_every_room_is_in_the_table() -> None:
    rooms = {path.name for path in APP.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms <= set(ALLOWED)


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_touches_nothing_outside_it(room: str) -> None:
    for path, tree in sources(APP / room):
        names = set(imported(tree))
        touched = {name for name in names if name in IMPURE or name.split(".")[0] in IMPURE}
        assert not touched, f"{path.relative_to(ROOT)} imports {sorted(touched)}"
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {"datetime.now", "datetime.utcnow", "date.today", "print", "open"}, path


def test_storage_alone_imports_the_database_library() -> None:
    for path, tree in sources(APP):
        if path.relative_to(APP).parts[0] != "storage":
            assert not any(name.split(".")[0] in ("sqlalchemy", "alembic", "psycopg") for name in imported(tree)), path


def test_interactions_know_no_web_framework() -> None:
    for path, tree in sources(APP / "interactions"):
        assert not any(name.split(".")[0] in ("flask", "werkzeug") for name in imported(tree)), path


def test_the_decision_point_is_asked_by_the_access_room_alone() -> None:
    for path, tree in sources(APP):
        room = path.relative_to(APP).parts[0]
        if room not in ("access", "policy"):
            assert not any(name.startswith("app.policy.decide") for name in imported(tree)), path


def test_only_the_enforcement_point_makes_a_grant() -> None:
    for path, tree in sources(APP):
        if path == APP / "access" / "enforcement.py":
            continue
        made = [
            node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Grant")
        ]
        made = [node for node in made if ast.unparse(node.func).split(".")[-1] == "Grant"]
        assert not made, f"{path.relative_to(ROOT)}:{made[0].lineno} makes a Grant"


PROTECTED = ("resources.py", "search.py", "history.py")
# What needs no grant tells of no content: whether a name resolves, whether an id is in use, a lock, a hash.
WITHOUT = {
    "stored",
    "unresolved",
    "lock_match_keys",
    "match_keys",
    "same_person",
    "taken",
    "stamped",
    "digest",
    "driving",
}


@pytest.mark.parametrize("name", PROTECTED)
def test_storage_gives_no_protected_row_without_a_grant(name: str) -> None:
    tree = ast.parse((APP / "storage" / name).read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name not in WITHOUT:
            arguments = {argument.arg: argument.annotation for argument in node.args.args}
            assert "grant" in arguments, f"{name}: {node.name} takes no grant"
            assert ast.unparse(arguments["grant"]) == "Grant"  # type: ignore[arg-type]


def test_no_file_has_grown_past_what_a_newcomer_can_hold_in_mind() -> None:
    for path, _ in sources(APP):
        if "migrations" not in path.parts:
            assert len(path.read_text().splitlines()) <= 420, path


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_says_what_it_is_in_a_short_readme(room: str) -> None:
    assert (APP / room / "README.md").is_file()


def test_the_systems_of_identifiers_are_written_once() -> None:
    """In app/fhir/identifier.py; the gate is one file that stands alone in an archive."""
    systems = {identifier.NHS_NUMBER, identifier.ODS_ORGANISATION, identifier.ODS_SITE, identifier.DICOM_UID}
    for path, tree in sources(APP):
        if path.relative_to(APP).as_posix() in ("fhir/identifier.py", "archives/gate.py"):
            continue
        again = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)} & systems
        assert not again, f"{path.relative_to(ROOT)} writes {sorted(again)} again"
