"""Reads the TOML file, checks it whole and gives the `Config`. Only short-lived processes load this: it brings `tomllib`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from wardgate.codes import Code
from wardgate.policy.crosscheck import cross_check
from wardgate.policy.files import absolute_paths, check_files
from wardgate.policy.formats import translate
from wardgate.policy.mistakes import ConfigErrors, Mistake
from wardgate.policy.model import Config, build, to_json
from wardgate.policy.shape import fill

_MAX_FILE_BYTES: Final = 1 << 20
MAX_JSON_BYTES: Final = 128 << 10  # travels to workers in one datagram


def load_config(path: str | Path, files: bool = True) -> Config:
    """Return the checked configuration; `files` False leaves the files that it names alone. Raises `ConfigErrors`."""
    path = Path(path)
    return config_from(_read(path), path.absolute().parent, files)


def config_from(data: dict[str, Any], base: Path, files: bool = True) -> Config:
    """Return the checked configuration of parsed TOML; relative paths count from `base`. Raises `ConfigErrors`."""
    mistakes: list[Mistake] = []
    filled = fill(translate(data), "", "", mistakes)
    absolute_paths(filled, base)
    cross_check(filled, mistakes)
    if files:
        check_files(filled, mistakes)
    if mistakes:
        raise ConfigErrors(mistakes)
    config = build(_as_built(filled))
    size = len(to_json(config))
    if size > MAX_JSON_BYTES:
        raise ConfigErrors([Mistake("the file", f"at most {MAX_JSON_BYTES} bytes when resolved", str(size), Code.CONFIG_TOO_LARGE)])
    return config


def _as_built(filled: dict[str, Any]) -> dict[str, Any]:
    """Rename TOML's singular array words and normalise what has more than one spelling."""
    for link in filled["link"]:
        link["peers"] = link.pop("peer")
        for party in (link["modality"], *link["peers"]):
            party["ae_titles"] = [title.strip(" ") for title in party["ae_titles"]]
            if party["tls"]:
                _lower(party["tls"])
    if filled["audit"]:
        filled["audit"]["repositories"] = filled["audit"].pop("repository")
        for repository in filled["audit"]["repositories"]:
            _lower(repository["tls"])
    filled["links"] = filled.pop("link")
    return filled


def _lower(tls: dict[str, Any]) -> None:
    tls["fingerprints"] = [text.lower() for text in tls["fingerprints"]]


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        found = error.strerror or "an error"
        raise ConfigErrors([Mistake(str(path), "a file that can be read", found, Code.CONFIG_UNREADABLE)]) from error
    if len(raw) > _MAX_FILE_BYTES:
        raise ConfigErrors([Mistake(str(path), f"at most {_MAX_FILE_BYTES} bytes", "more", Code.CONFIG_TOO_LARGE)])
    try:
        return tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        found = str(error) or "arrays nested too deeply"
        raise ConfigErrors([Mistake(str(path), "TOML", found, Code.CONFIG_SYNTAX)]) from error
