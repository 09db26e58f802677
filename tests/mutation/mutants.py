"""Comparisons turned round, one at a time: what a mutation run puts in the place of a module of app/policy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "app" / "policy"

INVERTED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
# The boundary moved by one: whether the end of a period belongs to it is what most defects of time are about.
SHIFTED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}


@dataclass(frozen=True)
class Mutant:
    """`path` with the comparison that is number `number` in its tree (each of a chain counts) made another one."""

    path: Path
    number: int
    line: int
    before: str
    after: str
    source: str

    @property
    def module(self) -> str:
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts)

    @property
    def name(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}  {self.before}  ->  {self.after}"


def of_policy() -> list[Mutant]:
    """Every mutant of every module of app/policy."""
    return [mutant for path in sorted(POLICY.glob("*.py")) for mutant in of(path)]


def of(path: Path) -> Iterator[Mutant]:
    """Every mutant of one module."""
    text = path.read_text()
    count = sum(len(node.ops) for node in _compares(ast.parse(text)))
    for number in range(count):
        for table in (INVERTED, SHIFTED):
            tree = ast.parse(text)
            node, place = _find(tree, number)
            wanted = table.get(type(node.ops[place]))
            if wanted is None:
                continue
            before = ast.unparse(node)
            node.ops[place] = wanted()
            yield Mutant(
                path, number, node.lineno, before, ast.unparse(node), ast.unparse(ast.fix_missing_locations(tree))
            )


def _compares(tree: ast.AST) -> Iterator[ast.Compare]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Compare))


def _find(tree: ast.AST, number: int) -> tuple[ast.Compare, int]:
    for node in _compares(tree):
        if number < len(node.ops):
            return node, number
        number -= len(node.ops)
    raise IndexError(number)
