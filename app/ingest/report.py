"""What an ingest did: counted, and each thing that was not done with its reason.

Paths and study UIDs name what to look at; no patient's identifier or name is ever in a report.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

LISTED_MAX = 200  # of each list in the text for people; JSON has all


@dataclass
class Report:
    """Counts of what was read, and what became of each study."""

    archive: str = ""
    dry_run: bool = False
    elsewhere: bool = False  # another process reads this archive, so that this one did not, or not to the end
    files: int = 0
    read: int = 0
    studies: int = 0
    series: int = 0
    instances: int = 0
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    held: list[dict[str, str]] = field(default_factory=list)
    alarms: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    notes: Counter[tuple[str, str]] = field(default_factory=Counter)
    people: set[tuple[str, str]] = field(default_factory=set)  # patient numbers and issuers: to count, never to show

    def skip(self, path: str, reason: str) -> None:
        self.skipped.append({"path": path, "reason": reason})

    def hold(self, study: str, code: str, reason: str) -> None:
        """A study that waits for a person to look at it."""
        self.held.append({"study": study, "code": code, "reason": reason})

    def alarm(self, study: str, reason: str) -> None:
        """An identity collision: refused, and to be looked at now."""
        self.alarms.append({"study": study, "reason": reason})

    def fail(self, study: str, reason: str) -> None:
        self.failed.append({"study": study, "reason": reason})

    @property
    def patients(self) -> int:
        return len(self.people)

    @property
    def ok(self) -> bool:
        """Nothing failed and no alarm was raised. What was skipped or held is not a failure of the run."""
        return not self.alarms and not self.failed

    def as_json(self) -> dict[str, Any]:
        return {
            "archive": self.archive,
            "dryRun": self.dry_run,
            "elsewhere": self.elsewhere,
            "files": self.files,
            "read": self.read,
            "patients": self.patients,
            "studies": self.studies,
            "series": self.series,
            "instances": self.instances,
            "created": len(self.created),
            "updated": len(self.updated),
            "unchanged": len(self.unchanged),
            "withdrawn": len(self.withdrawn),
            "held": self.held,
            "alarms": self.alarms,
            "failed": self.failed,
            "skipped": self.skipped,
            "notes": [
                {"element": element, "reason": reason, "studies": number}
                for (element, reason), number in sorted(self.notes.items())
            ],
        }

    def as_text(self) -> str:
        """For a terminal."""
        would = "would be " if self.dry_run else ""
        lines = [
            f"{self.archive}{' (dry run: nothing was written)' if self.dry_run else ''}"
            + (" (is being read by another process)" if self.elsewhere else ""),
            f"  files {self.files}  patients {self.patients}  studies {self.studies}"
            f"  series {self.series}  instances {self.instances}",
            f"  {would}created {len(self.created)}  {would}updated {len(self.updated)}  unchanged {len(self.unchanged)}"
            + (f"  withdrawn {len(self.withdrawn)}" if self.withdrawn else "")
            + f"  held {len(self.held)}  refused {len(self.alarms)}  failed {len(self.failed)}"
            + f"  skipped {len(self.skipped)}",
        ]
        lines += _listed("ALARM, refused:", [f"{one['study']}: {one['reason']}" for one in self.alarms])
        lines += _listed("failed:", [f"{one['study']}: {one['reason']}" for one in self.failed])
        lines += _listed("held for review:", [f"{one['study']}: {one['reason']}" for one in self.held])
        lines += _listed("skipped:", [f"{one['path']}: {one['reason']}" for one in self.skipped])
        notes = [
            f"{element} {reason} ({number} {'study' if number == 1 else 'studies'})"
            for (element, reason), number in sorted(self.notes.items())
        ]
        lines += _listed("left out or changed:", notes)
        return "\n".join(lines)


def _listed(title: str, items: list[str]) -> list[str]:
    if not items:
        return []
    shown = [f"    {item}" for item in items[:LISTED_MAX]]
    more = [f"    and {len(items) - LISTED_MAX} more (all of them with --json)"] if len(items) > LISTED_MAX else []
    return [f"  {title}", *shown, *more]
