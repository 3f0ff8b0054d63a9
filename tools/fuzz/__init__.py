"""Fuzz targets that run as long as asked."""
