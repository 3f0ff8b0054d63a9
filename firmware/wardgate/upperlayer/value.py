"""Frozen, slotted value classes: dataclasses without the import of `inspect`, which costs every process 1.5 MB.

A subclass names its fields by annotation, as for a dataclass. Values compare by type and fields, and hash.
The printed form never shows bytes, only how many: a PDU may hold a passcode or patient data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self, dataclass_transform


@dataclass_transform(frozen_default=True)
class _ValueType(type):
    """Makes slots of the annotations of a class body and remembers the fields in order."""

    _fields: tuple[str, ...]
    _defaults: dict[str, object]
    _setters: tuple[Callable[[object, object], None], ...]

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _ValueType:
        annotations: dict[str, str] = namespace.get("__annotations__", {})
        own = tuple(field for field, text in annotations.items() if not text.startswith("ClassVar"))
        defaults = {field: namespace.pop(field) for field in own if field in namespace}
        namespace["__slots__"] = own
        made = super().__new__(mcs, name, bases, namespace)
        parent = bases[0] if bases else None
        made._fields = (*getattr(parent, "_fields", ()), *own)
        made._defaults = {**getattr(parent, "_defaults", {}), **defaults}
        made._setters = tuple(getattr(made, field).__set__ for field in made._fields)
        return made


class Value(metaclass=_ValueType):
    """Base of every PDU and item: fields are given in order or by name and never change."""

    _fields: ClassVar[tuple[str, ...]]
    _defaults: ClassVar[dict[str, object]]
    _setters: ClassVar[tuple[Callable[[object, object], None], ...]]

    def __init__(self, *args: Any, **named: Any) -> None:
        cls = type(self)
        if named or len(args) != len(cls._setters):
            args = cls._completed(args, named)
        for setter, value in zip(cls._setters, args):  # noqa: B905  made of equal length above; strict costs
            setter(self, value)

    @classmethod
    def _completed(cls, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """Return all fields in order, from what was given by place, by name, and the defaults."""
        fields = cls._fields
        if len(args) > len(fields):
            raise TypeError(f"{cls.__name__} has {len(fields)} fields, {len(args)} were given")
        rest = []
        for field in fields[len(args) :]:
            if field in named:
                rest.append(named.pop(field))
            elif field in cls._defaults:
                rest.append(cls._defaults[field])
            else:
                raise TypeError(f"{cls.__name__} needs {field}")
        if named:
            raise TypeError(f"{cls.__name__} takes no {', '.join(named)} here")
        return (*args, *rest)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**{**{field: getattr(self, field) for field in self._fields}, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} never changes; use replace()")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} never changes")

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, field) for field in self._fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{field}={_shown(getattr(self, field))}' for field in self._fields)})"


def _shown(value: object) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, (bytes, bytearray, memoryview)) else repr(value)
