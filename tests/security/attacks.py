"""What must fail: 84 attacks, each in one line; and how to take out the defence against each, so that its tests go red.

Tests are marked with the number of the attack that they show to fail (`@pytest.mark.attack(23)`). A defence is a piece
of source and what stands in its place when it is gone. `python -m tests.security.defences` takes each out in turn and
expects the attack to succeed, which is a red test; an architecture test holds marks, pieces and the page together.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"

ATTACKS: dict[int, str] = {
    1: "no token, one that cannot be read, two, or one in the address",
    2: "a token without a signature, or signed with the public key as if it were a secret",
    3: "a key that the token itself brings or points to",
    4: "a key name that is a path, a statement, ten kilobytes, or nobody's",
    5: "a token of another issuer, for another audience, or of another kind",
    6: "a token that has expired, is not valid yet, never ends, or comes from a clock that is wrong",
    7: "unknown critical extensions, members given twice, a megabyte of token",
    8: "a token that was revoked, or whose client was disabled, a second ago",
    9: "a client assertion used twice, valid for long, without a name, or by another client's key",
    10: "a code asked for without a proof of who will collect it",
    11: "a code used twice, by another client, or sent to an address that is nearly the registered one",
    12: "an authorization meant for another server",
    13: "a refresh token used twice, by another client, or for more than was approved",
    14: "a launch from another person's session, or one that was used",
    15: "a client of one organisation that speaks for another",
    16: "scopes for a patient where no patient is in context",
    17: "scopes that are misspelt, out of order, doubled or encoded",
    18: "scopes narrowed by modifiers, chains and controls",
    19: "a scope for CT used to reach MR by id, by search, by include or by default",
    20: "reading with the right to search, searching with the right to read, and history with either",
    21: "the study of another patient than the one in context, by any name",
    22: "an entry of a bundle that goes beyond the scopes",
    23: "a withheld study asked for by its id, and how long that takes",
    24: "a version of a withheld study that could once be seen, or one withheld then that can be seen now",
    25: "whether a withheld study is still the version that one knows",
    26: "a conditional write whose criteria match what is withheld",
    27: "an update, patch or delete at the id of what is withheld",
    28: "a write to what is another organisation's",
    29: "an archive that only a withheld study names",
    30: "a patient or an archive contained in another resource",
    31: "what is attached to the report of a withheld study",
    32: "totals and counts over what is withheld",
    33: "pages that are short, or too many, because of what is withheld",
    34: "includes that lead to what is withheld",
    35: "reverse includes of choices, audit, tasks and what is withheld",
    36: "chains through a stranger",
    37: "reverse chains into what is withheld, and into choices and tasks",
    38: "halving a range until a withheld date is found",
    39: "an order or a shape that drops a label before it is judged",
    40: "lists of ids with withheld ones among them",
    41: "negation and absence that turn what is withheld into an answer",
    42: "a search by the label that withholds",
    43: "polling for changes of what is withheld",
    44: "a page link of somebody else, damaged, stale, or used after a withdrawal",
    45: "a search by form and address at once, doubled, or in odd letters",
    46: "everything of a patient, matching, and explanations",
    47: "the compartment of a patient",
    48: "membership in a patient's record by a stray reference",
    49: "making the episode, team or referral that lets one in",
    50: "an episode back-dated, endless, or flipped after the read",
    51: "adding oneself to a team",
    52: "a permission for somebody else's patient, and editing or deleting a refusal",
    53: "a choice without a patient, or moved to another one",
    54: "a choice with no type, an unknown one, fifty levels, ten thousand provisions, or a circle",
    55: "a choice that names somebody at an address elsewhere",
    56: "the purpose of emergency without a grant",
    57: "a grant used by a colleague, a clerk or a system, elsewhere, for another patient, after its end or revocation",
    58: "breaking the glass for one patient after another",
    59: "records joined, parted or joined in a circle, by whoever may not",
    60: "an opt-out while a search or a delivery is under way",
    61: "the edges of days, months and summer time",
    62: "an organisation's code in another spelling",
    63: "a subscription without care, after its end, after an opt-out, or with full content",
    64: "a notification to an address inside, however it is written, resolved or redirected to",
    65: "an Endpoint that leads to somebody else's host",
    66: "an allowed origin that is only a beginning of the address",
    67: "headers with line breaks, or with credentials",
    68: "what is kept of events that could not be delivered",
    69: "the export of somebody else",
    70: "requests to be answered later, at an address that can be guessed",
    71: "metadata, explanations and validation that tell of what is held",
    72: "the audit read or written by ordinary users",
    73: "persons and studies in logs, metrics and errors",
    74: "disclosures that cannot be recorded",
    75: "forged forms, other people's pages, and script in what is shown",
    76: "deep, large, self-referring and external content",
    77: "statements, paths and patterns in values, sort keys and identifiers",
    78: "two requests in one, believed proxies, and methods in disguise",
    79: "pages of other origins that ask with the browser's cookies",
    80: "a permission remembered over a change of consent, episode, label, record, grant, role or organisation",
    81: "what was kept for one purpose, role, organisation or client served to another",
    82: "an archive's address used by another organisation",
    83: "an enforcement point that acts for a clinician it has nothing to do with",
    84: "the decision itself, asked about others",
}


@dataclass(frozen=True)
class Defence:
    """`before` stands once in `path`; with `after` in its place each of the attacks succeeds. `also`: where two layers
    defend, the other. `quick`: a part of every run of the suite."""

    attacks: tuple[int, ...]
    path: str
    before: str
    after: str
    quick: bool = False
    also: Defence | None = None

    def without(self) -> list[tuple[Path, str]]:
        """Each file that has a piece of it, and its source without."""
        text = (ROOT / self.path).read_text()
        assert text.count(self.before) == 1, (
            f"{self.path}: {self.before!r} stands there {text.count(self.before)} times; write in tests/security/taken_out.py"
            " what now defends there"
        )
        rest = self.also.without() if self.also else []
        return [(ROOT / self.path, text.replace(self.before, self.after)), *rest]


def marked() -> dict[int, list[str]]:
    """Attack → the tests that are marked with it, as `tests/…/test_x.py::test_y`."""
    found: dict[int, list[str]] = {number: [] for number in ATTACKS}
    for path in sorted(TESTS.rglob("test_*.py")):
        if "mark.attack(" in (text := path.read_text()):
            for name, number in _marks(ast.parse(text)):
                found.setdefault(number, []).append(f"{path.relative_to(ROOT)}::{name}")
    return found


def _marks(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for one in node.decorator_list:
                if isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.mark.attack":
                    yield from ((node.name, ast.literal_eval(number)) for number in one.args)
