"""Worklist entries for DCMTK's wlmscpfs and Orthanc's worklist plugin, and the query that finds them."""

from __future__ import annotations

from pathlib import Path

QUERY = tuple(
    word
    for key in (
        "0010,0010",
        "0010,0020",
        "0020,000D",
        "0040,0100[0].0008,0060=CT",
        "0040,0100[0].0040,0001",
        "0040,0100[0].0040,0002",
        "0040,0100[0].0040,0003",
        "0040,0100[0].0040,0009",
        "0040,1001",
    )
    for word in ("-k", key)
)


def write_worklist(folder: Path, ae: str) -> Path:
    """Write two entries to `folder/ae` with the lock file that wlmscpfs wants; return `folder`."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    (folder / ae).mkdir(parents=True)
    (folder / ae / "lockfile").touch()
    for number, name in enumerate(("WARD^ONE", "WARD^TWO"), 1):
        entry = Dataset()
        entry.SpecificCharacterSet = "ISO_IR 100"
        entry.AccessionNumber = f"A{number}"
        entry.ReferringPhysicianName = "REF^DR"
        entry.PatientName = name
        entry.PatientID = f"P{number}"
        entry.PatientBirthDate = "19700101"
        entry.PatientSex = "O"
        entry.StudyInstanceUID = f"1.2.826.0.1.3680043.10.1453.9.{number}"
        entry.RequestingPhysician = "REQ^DR"
        entry.RequestedProcedureDescription = "CT"
        entry.RequestedProcedureID = f"R{number}"
        entry.RequestedProcedurePriority = "LOW"
        step = Dataset()
        step.Modality = "CT"
        step.ScheduledStationAETitle = "CT1"
        step.ScheduledProcedureStepStartDate = "20260101"
        step.ScheduledProcedureStepStartTime = "080000"
        step.ScheduledPerformingPhysicianName = "PER^DR"
        step.ScheduledProcedureStepDescription = "CT"
        step.ScheduledProcedureStepID = f"S{number}"
        step.ScheduledStationName = "CT1"
        step.ScheduledProcedureStepLocation = "WARD"
        entry.ScheduledProcedureStepSequence = [step]
        entry.file_meta = FileMetaDataset()
        entry.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        entry.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.31"
        entry.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.10.1453.8.{number}"
        entry.save_as(folder / ae / f"entry{number}.wl", enforce_file_format=True)
    return folder
