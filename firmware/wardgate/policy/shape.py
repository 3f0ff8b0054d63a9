"""Checks the configuration's shape against the schema: unknown words, types, bounds, defaults. Collects, never stops."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, Final

from wardgate.codes import Code
from wardgate.policy.endpoint import parse_endpoint
from wardgate.policy.keyref import shown, token_key
from wardgate.policy.mistakes import Mistake
from wardgate.policy.schema import MAX_ITEMS, Kind, Need, Word
from wardgate.policy.tables import TABLES
from wardgate.token.naming import is_uri

_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_TYPES: Final[dict[Kind, type]] = {Kind.INTEGER: int, Kind.BOOLEAN: bool, Kind.TABLE: dict}


def fill(data: dict[str, Any], table: str, place: str, mistakes: list[Mistake]) -> dict[str, Any]:
    """Return `data` with the defaults of the schema's `table`; values that are wrong are left out and named in `mistakes`."""
    words = {word.name: word for word in TABLES[table]}
    for name in data:
        if name not in words:
            from difflib import get_close_matches

            close = get_close_matches(name, words, 1)
            expected = f'"{close[0]}" (did you mean that?)' if close else "one of " + ", ".join(words)
            mistakes.append(Mistake(_at(place, name), expected, name, Code.CONFIG_UNKNOWN_WORD))
    filled: dict[str, Any] = {}
    for word in words.values():
        here = _at(place, word.name)
        if word.name in data:
            value = _value(data[word.name], word, here, mistakes)
            if value is not None:
                filled[word.name] = value
        elif isinstance(word.default, Need):
            mistakes.append(Mistake(here, f"{_wanted(word)} ({word.meaning})", "nothing", Code.CONFIG_MISSING))
        elif isinstance(word.default, dict):
            filled[word.name] = fill({}, word.table, here, mistakes)
        else:
            filled[word.name] = word.default
    return filled


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _wanted(word: Word) -> str:
    if word.kind is Kind.CHOICE:
        text = "one of " + ", ".join(f'"{choice}"' for choice in word.choices)
    elif word.kind is Kind.INTEGER:
        text = f"a whole number from {word.low} to {word.high}"
    else:
        text = word.kind.value
    return f"an array, each {text}" if word.many else text


def _value(value: Any, word: Word, place: str, mistakes: list[Mistake]) -> Any:
    """Return the value, checked, or None."""
    if not word.many:
        return _one(value, word, place, mistakes)
    if not isinstance(value, list):
        mistakes.append(Mistake(place, _wanted(word), _shown(value), Code.CONFIG_TYPE))
        return None
    if not word.least <= len(value) <= MAX_ITEMS:
        mistakes.append(Mistake(place, f"{word.least} to {MAX_ITEMS} values", f"{len(value)}", Code.CONFIG_BOUNDS))
        return None
    # A wrong item keeps its place in a list of tables, so that later places count right.
    checked = [_one(item, word, f"{place}[{index}]", mistakes) for index, item in enumerate(value)]
    if word.kind is Kind.TABLE:
        return [item if item is not None else {} for item in checked]
    return None if None in checked else checked


def _one(value: Any, word: Word, place: str, mistakes: list[Mistake]) -> Any:
    expected: type = _TYPES.get(word.kind, str)
    if type(value) is not expected:  # `type`: a bool is an int to isinstance
        mistakes.append(Mistake(place, _wanted(word), _shown(value), Code.CONFIG_TYPE))
        return None
    if isinstance(value, dict):
        return fill(value, word.table, place, mistakes)
    problem = _PROBLEMS[word.kind](value, word)
    if problem is None:
        return value
    found = shown(str(value)) + (f" ({problem})" if problem else "")
    code = Code.CONFIG_BOUNDS if word.kind is Kind.INTEGER else Code.CONFIG_VALUE
    mistakes.append(Mistake(place, _wanted(word).removeprefix("an array, each "), found, code))
    return None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'the text "{shown(value)}"'
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_uid(text: str) -> bool:
    """Tell whether `text` is a UID: PS3.5 9.1, at most 64 characters of numbers and dots, no leading zeros."""
    parts = text.split(".")
    return len(text) <= 64 and len(parts) > 1 and all(p.isascii() and p.isdigit() and (p == "0" or p[0] != "0") for p in parts)


def is_ae_title(text: str) -> bool:
    """Tell whether `text` is an AE title: PS3.5 6.2, 1 to 16 characters, no backslash, no control, not only blanks."""
    return 1 <= len(text) <= 16 and text.isascii() and text.isprintable() and "\\" not in text and bool(text.strip())


def _network(text: str, _word: Word) -> str | None:
    try:
        ip_network(text)
    except ValueError as error:
        return str(error)
    return None


def _address(text: str, _word: Word) -> str | None:
    try:
        ip_address(text)
    except ValueError as error:
        return str(error)
    return None


def _cidr(text: str, _word: Word) -> str | None:
    try:
        ip_interface(text)
    except ValueError as error:
        return str(error)
    return None if "/" in text else "no prefix length"


def is_mac(text: str) -> bool:
    """Tell whether `text` is a MAC address of six pairs of hex digits."""
    return len(text) == 17 and all(len(part) == 2 and _HEX.issuperset(part) for part in text.split(":"))


def is_hours(text: str) -> bool:
    """Tell whether `text` is `HH:MM-HH:MM`, the first before the second."""
    begin, _, end = text.partition("-")
    times = [tuple(part.split(":")) for part in (begin, end)]
    if not all(len(time) == 2 and all(len(p) == 2 and p.isascii() and p.isdigit() for p in time) for time in times):
        return False
    return all(time[0] < "24" and time[1] < "60" for time in times) and begin < end


def _endpoint(text: str, _word: Word) -> str | None:
    try:
        parse_endpoint(text)
    except ValueError as error:
        return str(error)
    return None


def _key(text: str, word: Word) -> str | None:
    if not is_uri(text):
        return _PROBLEMS[Kind.PATH](text, word)
    try:
        token_key(text)
    except ValueError as error:
        return str(error)
    return None


def _path_or_token(text: str, word: Word) -> str | None:
    if not is_uri(text):
        return _PROBLEMS[Kind.PATH](text, word)
    try:
        token_key(f"{text};object=iscl")  # the key's name follows from slot and direction
    except ValueError as error:
        return str(error)
    return None


def _problem_unless(good: Callable[[str], bool]) -> Callable[[str, Word], str | None]:
    return lambda text, _word: None if good(text) else ""


# Each gives None for a good value, else a remark that may be empty.
_PROBLEMS: Final[dict[Kind, Callable[[Any, Word], str | None]]] = {
    Kind.TEXT: _problem_unless(lambda text: 1 <= len(text) <= 255 and text.isprintable()),
    Kind.INTEGER: lambda number, word: None if word.low <= number <= word.high else "",
    Kind.BOOLEAN: lambda _value, _word: None,
    Kind.CHOICE: lambda text, word: None if text in word.choices else "",
    Kind.NAME: _problem_unless(lambda text: 1 <= len(text) <= 64 and _NAME_CHARACTERS.issuperset(text)),
    # signed-note: a key name has no Unicode space and no plus.
    Kind.ORIGIN: _problem_unless(lambda text: 1 <= len(text) <= 128 and text.isprintable() and " " not in text and "+" not in text),
    Kind.PATH: _problem_unless(lambda text: 1 <= len(text) <= 1024 and text.isprintable()),
    Kind.KEY: _key,
    Kind.PATH_OR_TOKEN: _path_or_token,
    Kind.ENDPOINT: _endpoint,
    Kind.NETWORK: _network,
    Kind.ADDRESS: _address,
    Kind.CIDR: _cidr,
    Kind.MAC: _problem_unless(is_mac),
    Kind.HOURS: _problem_unless(is_hours),
    Kind.INTERFACE: _problem_unless(lambda text: 1 <= len(text) <= 15 and _NAME_CHARACTERS.issuperset(text)),
    Kind.AE_TITLE: _problem_unless(is_ae_title),
    Kind.SOP_CLASS: _problem_unless(lambda text: text == "*" or is_uid(text)),
    Kind.FINGERPRINT: _problem_unless(lambda text: len(text) == 64 and all(c in "0123456789abcdefABCDEF" for c in text)),
    Kind.URL: _problem_unless(lambda text: text.startswith("http://") and len(text) <= 1024 and text.isprintable() and " " not in text),
}
