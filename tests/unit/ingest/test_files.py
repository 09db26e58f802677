"""Files, folders, DICOMDIR, zip, and everything in them that is no image: read, or skipped with a reason."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from app.ingest import datasets, files
from app.ingest.files import Read, Skipped

TEST_FILES = Path(pydicom.data.__file__).parent / "test_files"
Image, Write = Callable[..., Dataset], Callable[[Path, Dataset], Path]


def reasons(*paths: Path) -> dict[str, str]:
    return {Path(one.name).name: one.reason for one in files.read_all(paths) if isinstance(one, Skipped)}


def names(*paths: Path) -> list[str]:
    return [Path(one.name).name for one in files.read_all(paths) if isinstance(one, Read)]


def test_what_is_no_dicom_file_is_skipped_between_its_neighbours(tmp_path: Path, image: Image, write: Write) -> None:
    write(tmp_path / "a.dcm", image())
    (tmp_path / "c.txt").write_text("notes")
    (tmp_path / "d").write_bytes(b"")
    write(tmp_path / "e.dcm", image())
    assert names(tmp_path) == ["a.dcm", "e.dcm"]
    assert reasons(tmp_path) == {"c.txt": "is not a DICOM file", "d": "is not a DICOM file"}


def test_pixels_and_unlisted_elements_are_not_read(tmp_path: Path, image: Image, write: Write) -> None:
    path = write(tmp_path / "a.dcm", image(PatientAddress="1 Somewhere", PatientName="Demo^Hazel"))
    (found,) = files.read_all([path])
    assert isinstance(found, Read)
    assert "PatientName" in found.dataset and "PatientAddress" not in found.dataset


def test_a_file_without_a_preamble_is_read_when_it_is_dicom_all_the_same() -> None:
    assert names(TEST_FILES / "rtstruct.dcm") == ["rtstruct.dcm"]
    assert names(TEST_FILES / "ExplVR_LitEndNoMeta.dcm") == ["ExplVR_LitEndNoMeta.dcm"]


def test_a_deflated_file_is_read(tmp_path: Path) -> None:
    assert names(TEST_FILES / "image_dfl.dcm") == ["image_dfl.dcm"]


def test_a_deflated_file_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "HEADER_MAX", 200)
    assert "unpacks to more" in reasons(TEST_FILES / "image_dfl.dcm")["image_dfl.dcm"]


def test_every_file_that_comes_with_pydicom_is_read_or_has_a_reason() -> None:
    found = list(files.read_all([TEST_FILES]))
    assert all(isinstance(one, Read) or one.reason for one in found)
    assert sum(1 for one in found if isinstance(one, Read)) > 150


def test_a_path_that_is_not_there_is_a_reason_and_not_an_end(tmp_path: Path, image: Image, write: Write) -> None:
    path = write(tmp_path / "a.dcm", image())
    assert reasons(tmp_path / "missing", path) == {"missing": "does not exist"}
    assert names(tmp_path / "missing", path) == ["a.dcm"]


def test_a_file_given_twice_is_read_once(tmp_path: Path, image: Image, write: Write) -> None:
    path = write(tmp_path / "a.dcm", image())
    assert names(path, tmp_path, path) == ["a.dcm"]


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path, image: Image, write: Write) -> None:
    outside = write(tmp_path / "outside" / "a.dcm", image())
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.dcm").symlink_to(outside)
    assert names(inside) == []
    assert "link" in reasons(inside)["link.dcm"]


def test_a_dicomdir_gives_the_files_that_it_lists(dicomdirtests: Path) -> None:
    assert len(names(dicomdirtests / "DICOMDIR")) == 31
    assert len(names(dicomdirtests / "TINY_ALPHA" / "DICOMDIR")) == 50


def test_a_file_that_a_dicomdir_lists_and_that_is_not_there_has_a_reason(dicomdirtests: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(dicomdirtests / "TINY_ALPHA", tmp_path / "media"))
    (folder / "PT000000" / "ST000000" / "SE000000" / "IM000000").unlink()
    assert reasons(folder / "DICOMDIR")["IM000000"] == "is listed in the DICOMDIR and not there"
    assert len(names(folder / "DICOMDIR")) == 49


def test_a_dicomdir_cannot_lead_out_of_its_folder(
    dicomdirtests: Path, tmp_path: Path, image: Image, write: Write
) -> None:
    folder = Path(shutil.copytree(dicomdirtests / "TINY_ALPHA", tmp_path / "media"))
    write(tmp_path / "SECRET", image())
    directory = dcmread(folder / "DICOMDIR")
    with pydicom.config.disable_value_validation():
        for record in directory.DirectoryRecordSequence:
            if "ReferencedFileID" in record:
                record.ReferencedFileID = ["..", "SECRET"]
        directory.save_as(folder / "DICOMDIR")
    assert names(folder / "DICOMDIR") == []


def zipped(path: Path, members: dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_is_read_member_by_member(tmp_path: Path, image: Image, write: Write) -> None:
    content = write(tmp_path / "a.dcm", image(PixelData=b"\0" * 3_000_000, BitsAllocated=8)).read_bytes()
    inner = zipped(tmp_path / "inner.zip", {"x": b"y"}).read_bytes()
    path = zipped(tmp_path / "z.zip", {"a.dcm": content, "b.txt": b"no", "c.zip": inner, "d.dcm": content})
    found = list(files.read_all([path]))
    assert [one.name.rsplit(":")[-1] for one in found if isinstance(one, Read)] == ["a.dcm", "d.dcm"]
    assert {one.name.rsplit(":")[-1]: one.reason for one in found if isinstance(one, Skipped)} == {
        "b.txt": "is not a DICOM file",
        "c.zip": "is a zip inside a zip; unpack it first",
    }


def bomb(image: Image) -> bytes:
    """A header in front of whose pixels stands a sequence that unpacks without end."""
    buffer = io.BytesIO()
    dataset = image()
    dataset.save_as(buffer, implicit_vr=False, little_endian=True)
    head = b"\0" * 128 + b"DICM" + b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    sequence = b"\x40\x00\x75\x02SQ\x00\x00\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return head + buffer.getvalue() + sequence + b"\x08\x00\x50\x00SH\x02\x00AA" * 1_000_000


def test_a_member_that_unpacks_without_end_is_refused_and_its_neighbours_are_not(
    tmp_path: Path, image: Image, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "HEADER_MAX", 2_000_000)
    good = write(tmp_path / "a.dcm", image()).read_bytes()
    path = zipped(tmp_path / "z.zip", {"a.dcm": good, "bomb.dcm": bomb(image), "c.dcm": good})
    found = list(files.read_all([path]))
    assert [one.name.rsplit(":")[-1] for one in found if isinstance(one, Read)] == ["a.dcm", "c.dcm"]
    assert [one.reason for one in found if isinstance(one, Skipped)] == ["unpacks to more than is read of one file"]


def test_a_zip_as_a_whole_is_bounded(
    tmp_path: Path, image: Image, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "UNPACKED_MAX", 1)
    good = write(tmp_path / "a.dcm", image()).read_bytes()
    path = zipped(tmp_path / "z.zip", {"a.dcm": good, "b.dcm": good})
    assert all(isinstance(one, Skipped) for one in files.read_all([path]))


def test_a_zip_with_too_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MEMBERS_MAX", 1)
    path = zipped(tmp_path / "z.zip", {"a": b"", "b": b""})
    assert "more than 1 members" in reasons(path)["z.zip"]


def test_a_damaged_zip_has_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    path.write_bytes(b"PK\x03\x04 and then nothing")
    assert reasons(path) == {"z.zip": "is a damaged zip"}


def test_the_files_to_come_are_counted(dicomdirtests: Path) -> None:
    assert files.count([dicomdirtests, dicomdirtests / "DICOMDIR"]) == 92
