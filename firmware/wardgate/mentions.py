"""Whether a policy's text has a word at all: asked before the policy is read, which costs a small board a second.

A leaf without a library. Only a shortcut: what the policy means is judged where it is loaded. TOML spells a letter in one other way, by an
escape ("\\u0073ocket"): where there is a backslash, a word that is not found may be there all the same.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_WANTED = 77  # exit status: the policy has no such process, and the unit is not started again for it
_MOST = 1 << 20  # bytes; no policy may be larger, and what is behind it does not count


def mentions(words: Sequence[str], word: bytes, *, unsure: bool = True) -> bool:
    """Tell whether the file behind `-c` in a command line has `word`. `unsure`: the answer where nobody can say."""
    try:
        with open(words[words.index("-c") + 1], "rb") as file:
            text = file.read(_MOST)
    except (ValueError, IndexError, OSError):
        return unsure
    return word in text or (unsure and (len(text) == _MOST or b"\\" in text))
