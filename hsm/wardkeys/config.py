"""keys.toml: read, checked, every mistake named with its place and code."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from wardgate.codes import Code
from wardkeys import uri
from wardkeys.permit import Grant, Purpose
from wardkeys.state import Wanted

MAX_CONFIG: Final = 65536
MAX_TOKENS: Final = 16
MAX_GRANTS: Final = 64  # and as many keys in each
ISCL_CARD: Final = "iscl-card"  # instead of a module: the ISCL application of a card, over PC/SC
_MAX_SOCKET_PATH: Final = 107


class TokenConfig(NamedTuple):
    """One `[[token]]`."""

    name: str
    module: str
    wanted: Wanted
    pin_file: str | None
    allow_extractable: bool
    use_last_try: bool
    allow_equal_iscl_keys: bool


class Config(NamedTuple):
    """All of keys.toml. `state_dir` keeps what must outlive the process: that a PIN was refused."""

    socket: str
    uids: frozenset[int]
    state_dir: str
    request_seconds: float
    max_connections: int
    max_queue: int
    tokens: tuple[TokenConfig, ...]
    grants: tuple[Grant, ...] = ()  # none: everyone who may connect may use everything
    watchers: frozenset[int] = frozenset()  # may see states, use no key whatever the grants


class ConfigMistakes(Exception):
    """All mistakes of a configuration: (code, place, what is wrong)."""

    def __init__(self, mistakes: list[tuple[Code, str, str]]) -> None:
        super().__init__("\n".join(f"{code} {place}: {text}" for code, place, text in mistakes))
        self.mistakes = mistakes


def load(path: str) -> Config:
    """Read and check the file. Raises `ConfigMistakes`."""
    import tomllib

    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_CONFIG + 1)
        if len(raw) > MAX_CONFIG:
            raise ConfigMistakes([(Code.CONFIG_TOO_LARGE, path, f"more than {MAX_CONFIG} bytes")])
        data = tomllib.loads(raw.decode("utf-8"))
    except OSError as error:
        raise ConfigMistakes([(Code.CONFIG_UNREADABLE, path, str(error.strerror))]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigMistakes([(Code.CONFIG_SYNTAX, path, str(error))]) from error
    return parse(data)


def parse(data: dict[str, Any]) -> Config:
    """Check a parsed file. Raises `ConfigMistakes`."""
    reader = _Reader(data, "")
    socket = reader.path("socket", None)
    uids, watchers = frozenset(reader.uids()), frozenset(reader.uids("watch_uids", "watch_users"))
    state_dir = reader.path("state_dir", os.path.dirname(socket))
    seconds = reader.number("request_seconds", 10.0, 0.1, 60.0)
    connections = int(reader.number("max_connections", 256, 1, 4096))
    queue = int(reader.number("max_queue", 64, 1, 1024))
    if len(os.fsencode(socket)) > _MAX_SOCKET_PATH:
        reader.mistake(Code.CONFIG_BOUNDS, "socket", f"a path of at most {_MAX_SOCKET_PATH} bytes")
    tables = reader.take("token", list, [])
    users = reader.take("user", list, [])
    reader.finish()
    mistakes = reader.mistakes
    grants = _grants(users, mistakes)
    if not tables:
        mistakes.append((Code.CONFIG_MISSING, "token", "at least one [[token]]"))
    if len(tables) > MAX_TOKENS:
        mistakes.append((Code.CONFIG_BOUNDS, "token", f"at most {MAX_TOKENS} tokens"))
    tokens: list[TokenConfig] = []
    for index, table in enumerate(tables[:MAX_TOKENS]):
        place = f"token[{index}]."
        if not isinstance(table, dict):
            mistakes.append((Code.CONFIG_TYPE, place, "a table"))
            continue
        one = _token(_Reader(table, place), mistakes)
        for other in tokens:
            if other.name == one.name:
                mistakes.append((Code.CONFIG_DUPLICATE, place + "name", f"{one.name} is used twice"))
            elif other.module == one.module and other.wanted == one.wanted:
                mistakes.append((Code.CONFIG_DUPLICATE, place + "label", f"{other.name} and {one.name} are the same token"))
        tokens.append(one)
    if mistakes:
        raise ConfigMistakes(mistakes)
    uids |= {grant.uid for grant in grants}
    return Config(socket, uids, state_dir, seconds, connections, queue, tuple(tokens), grants, watchers)


def _grants(tables: list[Any], mistakes: list[tuple[Code, str, str]]) -> tuple[Grant, ...]:
    if len(tables) > MAX_GRANTS:
        mistakes.append((Code.CONFIG_BOUNDS, "user", f"at most {MAX_GRANTS} tables"))
    made = []
    for index, table in enumerate(tables[:MAX_GRANTS]):
        place = f"user[{index}]."
        if not isinstance(table, dict):
            mistakes.append((Code.CONFIG_TYPE, place, "a table"))
            continue
        reader = _Reader(table, place)
        uids = reader.uids("uid", "user")
        if len(uids) != 1 and not reader.mistakes:
            reader.mistake(Code.CONFIG_MISSING, "user", "user or uid: whose table this is")
        keys, purposes = reader.keys(), reader.purposes()
        reader.finish()
        mistakes.extend(reader.mistakes)
        made += [Grant(uid, keys, purposes) for uid in uids]
    return tuple(made)


def _token(reader: _Reader, mistakes: list[tuple[Code, str, str]]) -> TokenConfig:
    name = reader.text("name", None, 1, 32, lambda word: all(c.isascii() and (c.isalnum() or c in "-_.") for c in word) and word[0] != ".")
    module = reader.text("module", None, 1, 4096)
    if module not in ("", ISCL_CARD) and not os.path.isabs(module):
        reader.mistake(Code.CONFIG_VALUE, "module", f"an absolute path, or {ISCL_CARD}")
    wanted = Wanted(reader.optional("label", 32), reader.optional("serial", 16), reader.optional("reader", 64))
    if wanted.label is None and wanted.serial is None:
        reader.mistake(Code.CONFIG_MISSING, "label", "label or serial: which token is meant")
    pin_file = reader.path("pin_file", "") or None
    switches = [reader.take(f"unsafe_{word}", bool, False) for word in ("allow_extractable", "use_last_try", "allow_equal_iscl_keys")]
    reader.finish()
    mistakes.extend(reader.mistakes)
    return TokenConfig(name, module, wanted, pin_file, *switches)


class _Reader:
    """Takes words out of one table and remembers what is wrong with them."""

    def __init__(self, table: dict[str, Any], place: str) -> None:
        self._table = dict(table)
        self._place = place
        self.mistakes: list[tuple[Code, str, str]] = []

    def mistake(self, code: Code, word: str, text: str) -> None:
        self.mistakes.append((code, self._place + word, text))

    def take(self, word: str, kind: type, default: Any) -> Any:
        """Return the value of `word`, `default` when it is not there; a missing one with default None is a mistake."""
        if word not in self._table:
            if default is None:
                self.mistake(Code.CONFIG_MISSING, word, "must be there")
                return kind()
            return default
        value = self._table.pop(word)
        if type(value) is int and kind is float:
            value = float(value)
        if type(value) is not kind:
            names = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list"}
            self.mistake(Code.CONFIG_TYPE, word, f"expected {names[kind]}")
            return kind() if default is None else default
        return value

    def text(self, word: str, default: str | None, low: int, high: int, good: Callable[[str], bool] = str.isprintable) -> str:
        value: str = self.take(word, str, default)
        if value != default and not (low <= len(value.encode()) <= high and good(value)):
            self.mistake(Code.CONFIG_VALUE, word, f"{low} to {high} bytes of plain text")
        return value

    def optional(self, word: str, high: int) -> str | None:
        return self.text(word, "", 1, high) if word in self._table else None

    def path(self, word: str, default: str | None) -> str:
        value = self.text(word, default, 1, 4096)
        if value and not os.path.isabs(value):
            self.mistake(Code.CONFIG_VALUE, word, "an absolute path")
        return value

    def number(self, word: str, default: float, low: float, high: float) -> float:
        value: float = self.take(word, type(default), default)
        if not low <= value <= high:
            self.mistake(Code.CONFIG_BOUNDS, word, f"{low} to {high}")
        return value

    def uids(self, numbers: str = "allow_uids", names: str = "allow_users") -> list[int]:
        """Return the numbers of users in the word `numbers` and of the accounts in `names`: lists, or one where the word means one."""
        import pwd

        uids: list[int] = []
        for value in self._several(numbers):
            if type(value) is not int or not 0 <= value < 2**32 - 1:
                self.mistake(Code.CONFIG_VALUE, numbers, "numbers of users")
            else:
                uids.append(value)
        for value in self._several(names):
            try:
                uids.append(pwd.getpwnam(value).pw_uid)
            except (KeyError, TypeError):
                self.mistake(Code.CONFIG_VALUE, names, "an account of that name does not exist")
        return uids

    def _several(self, word: str) -> list[Any]:
        if word.startswith(("allow_", "watch_")):
            values: list[Any] = self.take(word, list, [])
            return values
        return [self._table.pop(word)] if word in self._table else []

    def keys(self) -> tuple[uri.Uri, ...]:
        """Return the key URIs of a `[[user]]`."""
        values = self.take("keys", list, None)
        if not 0 < len(values) <= MAX_GRANTS:
            self.mistake(Code.CONFIG_BOUNDS, "keys", f"1 to {MAX_GRANTS} PKCS#11 URIs")
        made = []
        for value in values[:MAX_GRANTS]:
            try:
                made.append(uri.parse(value if type(value) is str else ""))
            except uri.UriError as error:
                self.mistake(Code.CONFIG_VALUE, "keys", str(error))
        return tuple(made)

    def purposes(self) -> frozenset[Purpose]:
        """Return the purposes of a `[[user]]`."""
        known = {purpose.value: purpose for purpose in Purpose}
        values = self.take("purposes", list, None)
        if not values or not all(type(value) is str and value in known for value in values):
            self.mistake(Code.CONFIG_VALUE, "purposes", f"of {', '.join(known)}")
        return frozenset(known[value] for value in values if type(value) is str and value in known)

    def finish(self) -> None:
        """What was not taken is not known."""
        for word in sorted(self._table):
            self.mistake(Code.CONFIG_UNKNOWN_WORD, word, "not known")
