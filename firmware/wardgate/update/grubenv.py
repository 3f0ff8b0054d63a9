"""The loader's memory: which slot is preferred, which is good, how often each was tried. Sans-IO.

GRUB's environment block: 1024 bytes, a line of signature, `NAME=VALUE` lines, filled up with `#`. GRUB itself counts (image/common/boot/
grub.cfg). The box writes the block over itself, in place: a file that is cut to nothing and written anew is lost in a power cut.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SIZE: Final = 1024
TRIES: Final = 3
SLOTS: Final = ("A", "B")
_HEAD: Final = b"# GRUB Environment Block\n"


class GrubenvError(ValueError):
    """Not a block that this program wrote or GRUB keeps."""


class Slot(NamedTuple):
    """What is known of one slot: may it be started, and how often was it, without being marked good since."""

    good: bool
    tried: int


class Memory(NamedTuple):
    """All of it. `order`: the preferred slot first."""

    order: tuple[str, str]
    a: Slot
    b: Slot

    def slot(self, name: str) -> Slot:
        """Return the slot `A` or `B`."""
        return self.a if _named(name) == "A" else self.b

    def primary(self) -> str:
        """Return the slot that GRUB starts next."""
        for name in self.order:
            if self.slot(name).good and self.slot(name).tried < TRIES:
                return name
        return self.order[0]  # grub.cfg: all were tried in vain, it begins again

    def preferring(self, name: str) -> Memory:
        """Return the memory with `name` first, startable and untried."""
        other = "B" if _named(name) == "A" else "A"
        return self.marked(name, good=True)._replace(order=(name, other))

    def marked(self, name: str, *, good: bool) -> Memory:
        """Return the memory with the slot marked; either way its tries begin anew."""
        slot = Slot(good, 0)
        return self._replace(a=slot) if _named(name) == "A" else self._replace(b=slot)


# What grub.cfg assumes when it cannot read its block.
UNREADABLE: Final = Memory(("A", "B"), Slot(True, 0), Slot(True, 0))


def parse(block: bytes) -> Memory:
    """Return what a block says; a word that is missing is as GRUB assumes it. Raises `GrubenvError`."""
    if len(block) != SIZE or not block.startswith(_HEAD):
        raise GrubenvError("no environment block of GRUB")
    words = {}
    for line in block[len(_HEAD) :].decode("ascii", "replace").splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            words[name] = value
    order = tuple(words.get("ORDER", "A B").split())
    if sorted(order) != list(SLOTS):
        raise GrubenvError("ORDER does not name both slots once")
    return Memory((order[0], order[1]), _slot(words, "A", UNREADABLE.a), _slot(words, "B", UNREADABLE.b))


def write(memory: Memory) -> bytes:
    """Return the block."""
    lines = [f"ORDER={' '.join(memory.order)}"]
    for name in SLOTS:
        slot = memory.slot(name)
        lines += [f"{name}_OK={int(slot.good)}", f"{name}_TRY={slot.tried}"]
    return (_HEAD + "".join(f"{line}\n" for line in lines).encode()).ljust(SIZE, b"#")


def _slot(words: dict[str, str], name: str, default: Slot) -> Slot:
    good = words.get(f"{name}_OK", str(int(default.good)))
    tried = words.get(f"{name}_TRY", str(default.tried))
    if good not in ("0", "1") or tried not in ("0", "1", "2", "3"):
        raise GrubenvError(f"slot {name}: {name}_OK is 0 or 1, {name}_TRY 0 to {TRIES}")
    return Slot(good == "1", int(tried))


def _named(name: str) -> str:
    if name not in SLOTS:
        raise GrubenvError("a slot is A or B")
    return name
