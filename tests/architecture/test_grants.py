"""Protected rows need a Grant: no function of the storage room hands out content without one, and no room goes round it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

APP = Path(__file__).parents[2] / "app"

# What a function hands out when it hands out content of protected rows.
CONTENT = {"Stored", "Page", "HistoryPage", "Found", "Recorded", "HeldStudy"}

# Functions that hand it out without a grant, and why they may.
WITHOUT_GRANT = {
    "resources.stored": "makes the object from a row that a function with a grant has read",
    "reviews.find": "a held study is no resource yet: it is found by its own UID and archive by the feed that brought it",
    "reviews.by_id": "as waiting: the organisations of whoever settles it are part of the question",
    "reviews.alike": "as find: the words are those of a held study that was found before, of the same archive",
    "reviews.untried": "as find: an archive's own held studies, for the feed that brought them to try again",
    "reviews.waiting": "held studies are listed for the organisations of whoever settles them, who names them",
}

# SQL outside the storage room, and why.
OUTSIDE = {
    "access": "the information point gathers what a decision needs; it reads no content",
    "rest/health.py": "whether the database answers at all",
}


def functions(folder: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{path.stem}.{node.name}", node


def names(node: ast.AST | None) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} if node is not None else set()


def takes_grant(node: ast.FunctionDef) -> bool:
    found = [one for one in (*node.args.args, *node.args.kwonlyargs) if one.arg == "grant"]
    return bool(found) and names(found[0].annotation) == {"Grant"}


def test_whatever_hands_out_content_takes_a_grant() -> None:
    without = {
        name for name, node in functions(APP / "storage") if names(node.returns) & CONTENT and not takes_grant(node)
    }
    assert without == set(WITHOUT_GRANT)


def test_whatever_changes_a_resource_takes_a_grant() -> None:
    known = dict(functions(APP / "storage"))
    for name in ("resources.create", "resources.update", "resources.delete"):
        assert takes_grant(known[name]), name


def test_a_grant_is_never_optional() -> None:
    for path in sorted(APP.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and path.is_relative_to(APP / "storage"):
                given = node.args.args[len(node.args.args) - len(node.args.defaults) :]
                assert "grant" not in {one.arg for one in given}, f"{path.name}: {node.name}"


def statements() -> Iterator[tuple[str, ast.Call]]:
    """Each call by which SQL reaches the database, with the file that makes it."""
    for path in sorted(APP.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            if (
                isinstance(called, ast.Attribute)
                and called.attr in ("rows", "one", "run", "many")
                and names(called) == {"tx"}
            ):
                yield str(path.relative_to(APP)), node  # type: ignore[misc]


def test_sql_is_spoken_in_storage_and_nowhere_it_is_not_accounted_for() -> None:
    for where, node in statements():
        if not where.startswith("storage/"):
            assert where in OUTSIDE or where.split("/")[0] in OUTSIDE, f"{where}:{node.lineno} speaks SQL"


def test_the_information_point_reads_no_content() -> None:
    for path in sorted((APP / "access").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "SELECT" in node.value:
                assert "content" not in node.value, f"{path.name}:{node.lineno}"


def test_only_the_enforcement_point_says_that_everything_may_be_seen() -> None:
    for path in sorted(APP.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Everything":
                assert path == APP / "access" / "enforcement.py", f"{path}:{node.lineno}"
