"""What the ingest tests share: a source, datasets made in code, and the real files that come with pydicom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom.config
import pydicom.data
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from app.ingest.source import Source, of_organisation

FILES = Path(pydicom.data.__file__).parent


@pytest.fixture
def source() -> Source:
    return of_organisation("Endpoint/archive", "Organization/trust", "ZA1")


@pytest.fixture
def dicomdirtests() -> Path:
    return FILES / "test_files" / "dicomdirtests"


@pytest.fixture
def charset_files() -> Path:
    return FILES / "charset_files"


@pytest.fixture
def image() -> Callable[..., Dataset]:
    """A CT instance with the least that a study needs; keywords add to it or, as None, take away."""

    def make(**elements: Any) -> Dataset:
        dataset = Dataset()
        stated = {
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": "1.2.3.1",
            "SOPInstanceUID": "1.2.3.1.1",
            "SOPClassUID": CTImageStorage,
            "Modality": "CT",
            "PatientID": "M1",
        } | elements
        with pydicom.config.disable_value_validation():
            for keyword, value in stated.items():
                if value is not None:
                    setattr(dataset, keyword, value)
        return dataset

    return make


@pytest.fixture
def write() -> Callable[[Path, Dataset], Path]:
    """Write a dataset as a DICOM file with its preamble."""

    def save(path: Path, dataset: Dataset) -> Path:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return save
