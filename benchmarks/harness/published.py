"""The figures last measured, as they stand in `benchmarks/README.md`: written by the run itself, never by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.harness.report import ROOT, lines
from benchmarks.harness.table import Row

README = ROOT / "benchmarks" / "README.md"
ROOMS = 7
STATEMENTS = 8


def publish(found: dict[str, Any], readme: Path = README) -> None:
    """Put a run's figures in their place: those of the peer in one block, all others in another."""
    name = "hapi" if found["plan"]["peer"] else "figures"
    text = readme.read_text()
    begin, end = f"<!-- made: {name} -->", "<!-- end -->"
    block = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not block.search(text):
        raise SystemExit(f"{readme.name} has no place for these figures; expected {begin} … {end}")
    made = "\n".join([begin, *_said(found), end])
    readme.write_text(block.sub(lambda _: made, text, count=1))


def _said(found: dict[str, Any]) -> list[str]:
    machine, plan, facts = found["machine"], found["plan"], found["facts"]
    commit = f" on {found['commit']}" if found["commit"] else ""
    rows = [Row(**row) for row in found["rows"]]
    database = ", ".join(f"{name} {value}" for name, value in facts["database"].items())
    told = [
        f"`{found['command']}` at {found['at']}{commit}, in {facts['seconds']:,.0f} s: {plan['studies']:,} studies"
        f" of {plan['patients']:,} patients; {machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB;"
        f" {plan['workers']} processes of {plan['threads']} threads; {database}. Before the run {facts['load before']:.1f}"
        " processes of others wanted a processor.",
        "",
        *lines([row for row in rows if row.figure != "profile"]),
    ]
    if missed := [row.figure for row in rows if row.met is False]:
        told += ["", f"Not met: {', '.join(dict.fromkeys(missed))}."]
    for row in rows:
        told += _peer(row) + _profile(row)
    return told


def _peer(row: Row) -> list[str]:
    theirs = row.notes.get("HAPI")
    if theirs is None:
        return []
    return [
        "",
        f"- {row.what.split(':')[0]}: registry {row.rate:,.0f}/s, p50 {row.p50} ms, p99 {row.p99} ms; HAPI {theirs['rate']:,.0f}/s,"
        f" p50 {theirs['p50']} ms, p99 {theirs['p99']} ms; ratios by round {row.notes['ratios']}.",
    ]


def _profile(row: Row) -> list[str]:
    if row.figure != "profile" or row.fault:
        return []
    rooms = list(row.notes["rooms"].items())[:ROOMS]
    told = [
        "",
        f"**{row.what}**: {row.value:,.0f} µs at the median, of which {row.notes['µs in Python']:,.0f} µs of processor time in"
        f" Python and {row.notes['µs in the database']:,.0f} µs in the database. Python: "
        + ", ".join(f"{name} {part:.0%}" for name, part in rooms)
        + ".",
    ]
    if row.notes["statements"]:
        told += ["", "| Calls | µs a call | Statement |", "| ---: | ---: | --- |"]
        for one in row.notes["statements"][:STATEMENTS]:
            text = one["statement"].replace("|", "\\|")
            shown = text if len(text) <= 110 else f"{text[:107]}…"
            told.append(f"| {one['calls a request']:g} | {one['µs a call']:g} | `{shown}` |")
    return told
