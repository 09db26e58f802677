"""`python -m tests.support.topics`: write the published topics as the table has them."""

from __future__ import annotations

import json
from pathlib import Path

from app.fhir.topics import BY_NAME, as_basic

FOLDER = Path(__file__).parents[2] / "fhir_profiles" / "topics"


def written() -> dict[str, str]:
    """file → what is to stand in it."""
    return {f"{name}.json": json.dumps(as_basic(topic), indent=2) + "\n" for name, topic in BY_NAME.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in written().items():
        (FOLDER / name).write_text(text)
