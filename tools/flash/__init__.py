"""Writes an image to a disk: never to the wrong one, and never without reading back."""
