"""The files that the demo sends: real ones out of the packaged test sets, and a generated CT series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from support.datasets import Sample, generate, sample
from support.processes import run

SERIES_IMAGES = 40

# Several modalities, transfer syntaxes and sizes. Files of the packages pydicom and pydicom-data.
REAL = (
    "CT_small.dcm",
    "693_J2KR.dcm",
    "MR_small.dcm",
    "MR2_J2KI.dcm",
    "emri_small.dcm",
    "RG1_UNCR.dcm",
    "RG3_J2KI.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "JPEGLSNearLossless_16.dcm",
    "waveform_ecg.dcm",
    "test-SR.dcm",
    "liver_1frame.dcm",
)
IMPLICIT = ("gdcm-US-ALOKA-16.dcm", "rtplan.dcm")


@dataclass(frozen=True, slots=True)
class Group:
    """Files sent by one command. `options`: what makes that command send them without converting them."""

    title: str
    program: str
    options: tuple[str, ...]
    samples: tuple[Sample, ...]


def to_hospital(folder: Path) -> list[Group]:
    """Lay out what the modality sends, below `folder`."""
    return [
        Group("real files", "dcmsend", (), tuple(_laid_out(folder / "real", REAL))),
        Group("real files, Implicit VR", "storescu", ("-R", "-xi"), tuple(_laid_out(folder / "implicit", IMPLICIT))),
        Group("generated CT series", "storescu", ("-R",), tuple(generate(folder / "series", SERIES_IMAGES))),
    ]


def to_modality(folder: Path) -> Group:
    """Lay out what the PACS sends back to the modality (an earlier study)."""
    return Group("earlier MR study", "storescu +tls", ("-R",), tuple(generate(folder / "earlier", 3, 256, study=2, modality="MR")))


def _laid_out(folder: Path, names: tuple[str, ...]) -> list[Sample]:
    """Copy the named files as DCMTK encodes them, so that what its tools send can be compared byte for byte with the file."""
    from pydicom.data import get_testdata_file

    folder.mkdir(parents=True)
    made = []
    for name in names:
        source = get_testdata_file(name, download=False)
        if source is None:
            raise FileNotFoundError(f"{name} is in neither pydicom nor pydicom-data")
        done = run(["dcmconv", "-q", "+e", "-g", "-p", str(source), folder / name])
        if done.returncode:
            raise RuntimeError(f"dcmconv {name}: {done.stdout}")
        made.append(sample(folder / name))
    return made
