"""Releases: bundles in RAUC's verity format, signed by a key in a token."""
