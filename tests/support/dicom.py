"""DICOM for the tests: the objects that no file carries, made by highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom
import pydicom.data
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

FILES = Path(pydicom.data.__file__).parent
TEST_FILES = FILES / "test_files"

REJECTED = {
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
}
MANIFEST = {"113030": "Manifest"}


def key_objects(to: Path, images: Sequence[Dataset], title: str) -> Path:
    """A key object selection of these images, of one study, with a title of DICOM's CID 7010 or 7011."""
    code = Code(title, "DCM", (REJECTED | MANIFEST)[title])
    for one in images:
        for keyword in ("StudyTime", "StudyDate", "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate"):
            if keyword not in one:
                setattr(one, keyword, "")
    document = KeyObjectSelectionDocument(
        evidence=list(images),
        content=KeyObjectSelection(document_title=code, referenced_objects=list(images)),
        series_instance_uid=highdicom.UID(),
        series_number=99,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="test",
        institution_name="test",
    )
    document.save_as(to, enforce_file_format=True)
    return to
