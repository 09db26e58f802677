"""The tables of README and guides, made from the code. `python -m tests.support.readme --write` puts them in.

Each stands between `<!-- made: name -->` and `<!-- end: name -->`; what is between the two is never edited by hand.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import click

from app.access.permissions import PARTS as PARTS_PLAYED
from app.access.permissions import WRITERS, WRITES, Kept
from app.cli import COMMANDS
from app.config import Settings
from app.fhir.operations import OPERATIONS, Operation
from app.fhir.registry import TYPES
from app.policy.rules import RULES
from app.web.documents import guides
from app.web.welcome import steps

NUMBERS = (
    "none one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
README = Path(__file__).parents[2] / "README.md"
DECISION = README.parent / "docs" / "decision.md"


def number(count: int) -> str:
    """A small number in words."""
    return NUMBERS.split()[count]


def row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join([row(*head), row(*["---"] * len(head)), *(row(*one) for one in rows)])


def rules() -> str:
    """The decision, in order."""
    return table(
        ("No.", "Rule", "Says", "Clause"),
        ((str(one.number), f"`{one.name}`", one.says, one.clause) for one in RULES),
    )


def types() -> str:
    """Every type with its interactions; types that have the same share a line."""
    grouped: dict[frozenset[str], list[str]] = {}
    for one in TYPES.values():
        grouped.setdefault(one.interactions, []).append(one.name)
    return table(
        ("Types", "Interactions"),
        ((", ".join(names), interactions(which)) for which, names in grouped.items()),
    )


def interactions(which: frozenset[str]) -> str:
    order = (
        "read", "vread", "search-type", "create", "update", "patch", "delete", "history-instance", "history-type",
        "conditional-create", "conditional-update", "conditional-patch", "conditional-delete",
    )  # fmt: skip
    assert set(order) >= which, sorted(which - set(order))
    return ", ".join(name for name in order if name in which)


def writers() -> str:
    """Who may write what: for each kind of client the types that it keeps, by which interactions, and whose."""
    rows = []
    for part, kept in WRITERS.items():
        grouped: dict[Kept, list[str]] = {}
        for name, one in kept.items():
            grouped.setdefault(one, []).append(name)
        everything = set(grouped.get(next(iter(grouped), None), ())) == {  # type: ignore[call-overload]
            name for name, one in TYPES.items() if "create" in one.interactions
        }
        for one, names in grouped.items():
            said = "every type but AuditEvent and what is published" if everything else ", ".join(names)
            rows.append((PARTS_PLAYED[part], said, ", ".join(w for w in WRITES if w in one.interactions), one.whose))
        if not grouped:
            rows.append((PARTS_PLAYED[part], "nothing", "–", "–"))
    return table(("Client", "Writes", "By", "Whose"), rows)


def settings() -> str:
    """Every setting, its default and its meaning."""
    return table(
        ("Variable", "Default", "Meaning"),
        (
            (f"`{one.metadata['variable']}`", default(one.metadata["shown"]), one.metadata["means"])
            for one in fields(Settings)
        ),
    )


def default(shown: str) -> str:
    return shown if shown == "–" or " " in shown or not shown.isascii() else f"`{shown}`"


def commands() -> str:
    """Every command with what its own help says first."""
    return table(("Command", "Does"), ((f"`{usage}`", says) for usage, _, says in each_command()))


def each_command() -> Iterator[tuple[str, str, str]]:
    """(usage, name, what it does), the commands of a group one by one."""
    for name, (module, attribute) in COMMANDS.items():
        command = getattr(importlib.import_module(module), attribute)
        under = command.commands.items() if isinstance(command, click.Group) else ((None, command),)
        for sub, one in under:
            full = f"{name} {sub}" if sub else name
            says = " ".join((one.help or "").split("\n\n")[0].split())
            yield " ".join([full, *_asks(one)]), full, says


def _asks(command: click.Command) -> Iterator[str]:
    """The arguments and the options that must be given."""
    for one in command.params:
        if isinstance(one, click.Argument):
            yield f"{(one.name or '').upper().removesuffix('S')}{'…' if one.nargs == -1 else ''}"
        elif one.required:
            yield f"{one.opts[0]} {one.metavar or one.opts[0].strip('-').upper()}"


def curls() -> str:
    """The lines that `make run` prints, each in a block of its own, under what it shows."""
    told = steps(Settings().base_url)
    return "\n\n".join(f"{step.shows}\n\n```sh\n{step.line}\n```" for step in told)


def decision() -> str:
    """What each rule says, as a list that a reader counts."""
    return "\n".join(f"{one.number}. {one.says}" for one in RULES)


def listed() -> str:
    """The guides, each with whom it is for."""
    return "\n".join(f"- [{one.title}](docs/{one.name}.md): {one.whom}" for one in guides())


def operations() -> str:
    """What there is beyond the interactions, and where."""

    def places(one: Operation) -> Iterator[str]:
        for type in one.types or ("",):
            if "type" in one.levels or "system" in one.levels:
                yield f"`{type}/${one.name}`" if type else f"`${one.name}`"
            if "instance" in one.levels and "type" not in one.levels:
                yield f"`{type}/[id]/${one.name}`"

    return table(("Operation", "Does"), ((", ".join(places(one)), one.says) for one in OPERATIONS.values()))


PARTS: dict[str, Callable[[], str]] = {
    "curls": curls,
    "decision": decision,
    "guides": listed,
    "operations": operations,
    "rules": rules,
    "types": types,
    "writers": writers,
    "settings": settings,
    "commands": commands,
}


# Where each stands.
PLACES: dict[Path, tuple[str, ...]] = {
    README: ("curls", "guides", "decision", "types", "operations", "writers", "settings", "commands"),
    DECISION: ("rules",),
}


def between(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- made: {name} -->\n).*?(?=\n<!-- end: {name} -->)", re.DOTALL)


def part(name: str, text: str) -> str:
    """What stands in a text between the markers of that name."""
    found = between(name).findall(text)
    assert len(found) == 1, f"{name} is there {len(found)} times; expected once"
    return str(found[0])


def renewed(text: str, names: Iterable[str]) -> str:
    """The text with what is made from the code made anew."""
    for name in names:
        made = PARTS[name]()
        text = between(name).sub(lambda _, made=made: made, text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    for path, names in PLACES.items():
        new = renewed(path.read_text(), names)
        if "--write" in sys.argv:
            path.write_text(new)
        else:
            print(new)
