"""DICOM for the tests: copies of real files with other elements, and the objects that no file carries, made by highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom
import pydicom.config
import pydicom.data
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
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


def real(name: str) -> Path:
    """A file of pydicom's or of pydicom-data's, by its name."""
    (path,) = (TEST_FILES.rglob(name)) if list(TEST_FILES.rglob(name)) else [pydicom.data.get_testdata_file(name)]
    assert path is not None, name
    return Path(path)


def altered(path: Path, to: Path, **elements: Any) -> Path:
    """A copy of a file with these elements; None takes one away."""
    dataset = dcmread(path)
    change(dataset, **elements)
    to.parent.mkdir(parents=True, exist_ok=True)
    with pydicom.config.disable_value_validation():
        dataset.save_as(to)
    return to


def change(dataset: Dataset, **elements: Any) -> Dataset:
    with pydicom.config.disable_value_validation():
        for keyword, value in elements.items():
            if value is None:
                if keyword in dataset:
                    delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
    if "SOPInstanceUID" in elements and getattr(dataset, "file_meta", None) is not None:
        dataset.file_meta.MediaStorageSOPInstanceUID = elements["SOPInstanceUID"]
    return dataset


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
