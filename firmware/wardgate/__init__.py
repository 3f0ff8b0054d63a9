"""Wardgate: a gateway that puts a modality's plain DICOM under the secure transport profiles of PS3.15."""
