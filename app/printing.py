"""What a command says: words for a person or, with `--json`, the same for a program."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="What is said, as JSON.")


def say(as_json: bool, value: Any, words: str) -> None:
    """Print `value` as one line of JSON, or `words`."""
    click.echo(json.dumps(value) if as_json else words)


def say_fields(as_json: bool, fields: Mapping[str, Any]) -> None:
    """Print names and values, one to a line."""
    say(as_json, fields, "\n".join(f"{name}: {value}" for name, value in fields.items()))


def say_rows(as_json: bool, rows: Sequence[dict[str, Any]], line: Callable[[dict[str, Any]], str]) -> None:
    """Print one line for each row; a row that is `disabled` says so at its end."""
    told = (line(row) + ("  disabled" if row.get("disabled") else "") for row in rows)
    say(as_json, rows, "\n".join(told))
