"""Migrations: a release brings small files of the box itself to its own format; any release puts them back from the copies."""
