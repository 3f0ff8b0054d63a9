"""Older forms of the configuration, translated as they are read: people sign the file, so the box never writes it (decision 089).

A release whose words mean something else, or are called otherwise, adds the translation from the form before; the older release in the
other slot reads the same file as ever. A file says its form by `format`; without it, 1. None was needed so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from wardgate.codes import Code
from wardgate.policy.mistakes import ConfigErrors, Mistake

Table = dict[str, Any]
TRANSLATIONS: tuple[Callable[[Table], Table], ...] = ()  # the first from form 1 to 2
WORD: Final = "format"


def translate(data: Table) -> Table:
    """Return parsed TOML in the form of this release, without the word; `data` stays as it is. Raises `ConfigErrors`."""
    newest = 1 + len(TRANSLATIONS)
    at = data.get(WORD, 1)
    if type(at) is not int or not 1 <= at <= newest:
        raise ConfigErrors([Mistake(WORD, f"a whole number from 1 to {newest}", repr(at), Code.CONFIG_FORMAT)])
    table = {word: value for word, value in data.items() if word != WORD}
    if at == newest:
        return table
    import copy

    for number, apply in enumerate(TRANSLATIONS[at - 1 :], at):
        try:
            table = apply(copy.deepcopy(table))
        except Exception as error:  # whatever it is, the words cannot be those of that form
            found = f"{type(error).__name__}: {error}"
            raise ConfigErrors([Mistake("the file", f"the words of format {number}", found, Code.CONFIG_FORMAT)]) from error
    return table
