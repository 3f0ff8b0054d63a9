"""The vault before it is opened: what lies on its partition, what is to be done about it, and with which commands. Runs nothing.

A vault is LUKS2 with a random key that is kept nowhere: it is enrolled to the TPM, to a token, or both, and once as a recovery key for
people. A partition is made into one only while it is blank, and only once: what is not blank is never written over.
"""

from __future__ import annotations

import re
import tomllib
from enum import Enum
from typing import Final, NamedTuple

MAPPED: Final = "vault"
HEAD: Final = 1 << 20  # how much of the partition is looked at
KEY_BYTES: Final = 64
_MAGIC: Final = b"LUKS\xba\xbe"
_VERSION: Final = slice(6, 8)  # LUKS2 On-Disk Format 2.1: big-endian u16 behind the magic
_UUID: Final = slice(168, 208)
_URI: Final = re.compile(r"auto|pkcs11:[A-Za-z0-9;=%._~:@!$&'()*+,?/-]{1,400}")
_PIN: Final = re.compile(r"[!-~]{1,64}")
# systemd, src/shared/pkcs11-util.c, pkcs11_token_login
_PIN_REFUSED: Final = re.compile(r"PIN[^\n]*(incorrect|locked|expired)")


class Content(Enum):
    """What lies on the partition."""

    BLANK = "blank"
    VAULT = "vault"
    FOREIGN = "foreign"


class Act(Enum):
    """What is to be done."""

    OPEN = "open"
    MAKE = "make"
    LOST = "lost"  # one was made here and this is not it: nobody but a person goes on from here
    FOREIGN = "foreign"


class Recovery(Enum):
    """Where the recovery key goes, once."""

    CONSOLE = "console"
    NONE = "none"


class Unlock(Enum):
    """What opens the vault."""

    TPM2 = "tpm2"
    PKCS11 = "pkcs11"


class PolicyError(Exception):
    """vault.toml, or the file of the token's PIN, has a mistake."""


class Policy(NamedTuple):
    """`STATE/wardgate/vault.toml`. PCR 7 is the Secure Boot state; 12 what systemd's stub was told besides the signed program (nothing)."""

    unlock: tuple[Unlock, ...] = (Unlock.TPM2,)
    tpm2_pcrs: tuple[int, ...] = (7, 12)
    pkcs11_uri: str = "auto"
    recovery: Recovery = Recovery.CONSOLE


class Marker(NamedTuple):
    """What the state partition remembers: `uuid` of the vault made here, or that the making was begun and not finished."""

    uuid: str = ""
    is_making: bool = False


class Step(NamedTuple):
    """One command. `word`: what it does; `is_secret`: its output is the recovery key; `stdin`: what it reads; `pin`: the token's.

    `node`: the device that is there afterwards. The library of device mapper waits for udev only where it was built to, and Buildroot's is
    not; to make the name itself takes a capability that the box's service does not have.
    """

    word: str
    argv: tuple[str, ...]
    is_secret: bool = False
    stdin: str = ""
    pin: str = ""
    node: str = ""


def parse_policy(text: str) -> Policy:
    """Return the policy. Raises `PolicyError`."""
    try:
        said = tomllib.loads(text)
        unknown = said.keys() - set(Policy._fields)
        if unknown:
            raise PolicyError(f"unknown word {sorted(unknown)[0]}")
        default = Policy()
        policy = Policy(
            tuple(Unlock(word) for word in said.get("unlock", [way.value for way in default.unlock])),
            tuple(int(pcr) for pcr in said.get("tpm2_pcrs", default.tpm2_pcrs)),
            str(said.get("pkcs11_uri", default.pkcs11_uri)),
            Recovery(said.get("recovery", default.recovery.value)),
        )
    except (tomllib.TOMLDecodeError, ValueError, TypeError) as error:
        raise PolicyError(str(error)) from error
    if not policy.unlock or len(set(policy.unlock)) != len(policy.unlock):
        raise PolicyError("unlock names tpm2, pkcs11 or both")
    if not all(0 <= pcr < 24 for pcr in policy.tpm2_pcrs) or not policy.tpm2_pcrs:
        raise PolicyError("tpm2_pcrs are numbers of 0 to 23, at least one")
    if not _URI.fullmatch(policy.pkcs11_uri):
        raise PolicyError("pkcs11_uri is auto or an RFC 7512 URI")
    return policy


def parse_pin(data: bytes) -> str:
    """Return the token's PIN of a file: one line of printable ASCII. Raises `PolicyError`, which does not say it."""
    text = data.decode("ascii", "replace").strip("\r\n")
    if not _PIN.fullmatch(text):
        raise PolicyError("the PIN is no line of 1 to 64 printable characters")
    return text


def is_pin_refused(said: str) -> bool:
    """Did the token refuse the PIN, by what systemd's programs say? It must not be tried again: a card counts, and blocks itself."""
    return bool(_PIN_REFUSED.search(said))


def content(head: bytes) -> tuple[Content, str]:
    """Return what a partition with these first bytes holds, and its UUID when it is a vault."""
    if head.startswith(_MAGIC) and int.from_bytes(head[_VERSION], "big") == 2:
        return Content.VAULT, head[_UUID].split(b"\0")[0].decode("ascii", "replace")
    if not head.strip(b"\0"):
        return Content.BLANK, ""
    return Content.FOREIGN, ""


def decide(found: Content, uuid: str, marker: Marker) -> Act:
    """Return what to do. A making that was cut short is done again: nothing was ever put into that vault."""
    if marker.is_making and found in (Content.BLANK, Content.VAULT):
        return Act.MAKE
    if found is Content.VAULT:
        return Act.OPEN if not marker.uuid or marker.uuid == uuid else Act.LOST
    if marker.uuid:
        return Act.LOST
    return Act.MAKE if found is Content.BLANK else Act.FOREIGN


def grow_steps(disk: str, number: int) -> list[Step]:
    """Return what makes the last partition reach to the end of its disk (the image is for a smaller one); the last prints its size."""
    return [
        Step("put the second partition table at the end", ("sfdisk", "--quiet", "--no-reread", "--relocate", "gpt-bak-std", disk)),
        Step("grow the partition", ("sfdisk", "--quiet", "--no-reread", "--force", "-N", str(number), disk), stdin=", +\n"),
        Step("read its size", ("partx", "--show", "--noheadings", "--output", "SECTORS", "--nr", str(number), disk)),
    ]


def make_steps(program: str, device: str, policy: Policy, key_file: str, pin: str = "") -> list[Step]:
    """Return what makes it. `program`: systemd-cryptsetup; `key_file`: `KEY_BYTES` random bytes, in memory, whose slot is gone at the end.

    Before that each way is seen to open it: for the enrolment a card's public key is enough, and a card whose certificate allows no
    decryption would never open. The key is random, so no time is spent to slow down guessing (pbkdf2 with the least iterations; argon2
    would need the box's memory).
    """
    secret = ("--batch-mode", "--key-file", key_file)
    format_words = ("--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--label", "wardgate-vault")
    cipher = ("--cipher", "aes-xts-plain64", "--key-size", "512")
    enroll = ("systemd-cryptenroll", f"--unlock-key-file={key_file}")
    steps = [Step("make the vault", ("cryptsetup", "luksFormat", *secret, *format_words, *cipher, device))]
    steps += [
        Step("open it", ("cryptsetup", "open", "--type", "luks2", *secret, device, f"{MAPPED}-new"), node=f"/dev/mapper/{MAPPED}-new"),
        Step("make its file system", ("mkfs.ext4", "-q", "-L", "vault", f"/dev/mapper/{MAPPED}-new")),
        Step("close it", ("cryptsetup", "close", f"{MAPPED}-new")),
    ]
    for way in policy.unlock:
        if way is Unlock.TPM2:
            pcrs = "+".join(map(str, policy.tpm2_pcrs))
            steps.append(Step("enrol the TPM", (*enroll, "--tpm2-device=auto", f"--tpm2-pcrs={pcrs}", device)))
        else:
            steps.append(Step("enrol the token", (*enroll, f"--pkcs11-token-uri={policy.pkcs11_uri}", device), pin=pin))
    for step in open_steps(program, device, policy, pin, f"{MAPPED}-new"):
        steps += [step._replace(word=f"prove it: {step.word}"), Step("close it", ("cryptsetup", "close", f"{MAPPED}-new"))]
    if policy.recovery is not Recovery.NONE:
        steps.append(Step("make the recovery key", (*enroll, "--recovery-key", device), is_secret=True))
    return [*steps, Step("throw the first key away", ("systemd-cryptenroll", f"--unlock-key-file={key_file}", "--wipe-slot=0", device))]


def open_steps(program: str, device: str, policy: Policy, pin: str = "", name: str = MAPPED) -> list[Step]:
    """Return the ways to open it, to be tried in this order until one works; never a passphrase that somebody types.

    The vault's own header names the token that it was enrolled to: with a URI in place of "auto" systemd wants the key in a file too.
    """
    found = []
    for way in policy.unlock:
        means = "tpm2-device=auto" if way is Unlock.TPM2 else "pkcs11-uri=auto,token-timeout=10s"
        words = f"luks,headless=true,{means}"
        argv = (program, "attach", name, device, "-", words)
        found.append(Step(f"open by {way.value}", argv, pin=pin if way is Unlock.PKCS11 else ""))
    return found
