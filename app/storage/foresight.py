"""Looking ahead: rows asked for in one round trip with the facts that decide about them.

They are found by the condition that an ordinary patient's decision would be, as a part of their own WHERE clause. When the
facts are there, and with them the grant, the rows count only if that is the very condition that the grant has for the
patients whom they are about; else they are forgotten, and the question is asked again with the grant's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.policy.grant import About, Grant, Studies
from app.storage.engine import Tx
from app.storage.sql import Sql
from app.storage.wire import Row

FORESEEN = "foreseen"


def look(tx: Tx, grant: Grant, asked: object, statement: Sql) -> None:
    """Ask ahead. `asked` is what `seen` is to be asked for."""
    tx.ahead(statement.text, statement.params, lambda rows: tx.memory.update({FORESEEN: (asked, grant, rows)}))


def seen(
    tx: Tx, grant: Grant, asked: object, type_name: str, patients: Callable[[list[Row]], Iterable[int]]
) -> list[Row] | None:
    """The rows that were asked for ahead, if there are any and the grant says of each what they were found by; else None.
    `patients` are the rids of those whom the rows are about."""
    found = tx.memory.pop(FORESEEN, None)
    if found is None or not found[2] or found[0] != asked:
        return None
    rows: list[Row] = found[2]
    return rows if same(found[1], grant, type_name, patients(rows)) else None


def same(foreseen: Grant, grant: Grant, type_name: str, patients: Iterable[int]) -> bool:
    """Whether both grants have one condition for the studies of these patients, and hide and narrow nothing else. The
    patients themselves were not hidden when looking ahead: so the grant must show all of whom it has read facts."""
    rules, taken = grant.rows.get(type_name, ()), foreseen.rows[type_name][0]
    if len(rules) != 1 or not isinstance(rules[0], Studies) or not isinstance(taken, Studies):
        return False
    if grant.locate is not None or grant.redact or grant.within != foreseen.within:
        return False
    people = {rid for rule in grant.rows.get("Patient", ()) if isinstance(rule, About) for rid in rule.patients}
    if not people.issuperset(rules[0].apart):
        return False
    covered = {rid for case in rules[0].cases if case.shown == taken.otherwise for rid in case.patients or ()}
    return covered.issuperset(patients)
