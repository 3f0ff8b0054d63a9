"""The TLS profiles of PS3.15 Annex B by name, as data (edition 2026c).

"Server" and "client" are TLS roles. What a profile requires of a server must all be offered; of a client, one suite is enough.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from wardgate.codes import Code
from wardgate.transport.errors import ProfileNotMet
from wardgate.transport.suites import TLS13


class Standing(Enum):
    """What the standard says of a profile today."""

    CURRENT = "current"
    RETIRED = "retired"  # still spoken here for one old peer, by unsafe_allow_retired_profile
    REFUSED = "refused"  # retired, and neither safe nor possible here


class Profile(NamedTuple):
    """One profile. Suites are registry codes, in the order in which they are offered; sizes are bits."""

    name: str
    title: str
    standing: Standing
    offered12: tuple[int, ...] = ()  # what we offer with TLS 1.2
    required12: frozenset[int] = frozenset()  # what a server must offer
    allowed12: frozenset[int] = frozenset()
    required13: frozenset[int] = frozenset()
    allowed13: frozenset[int] = frozenset()
    both_certificates: bool = False  # a server needs an ECDSA and an RSA certificate
    client_needs_tls12: bool = True  # TLS 1.2 is mandatory for clients
    diffie_hellman: bool = False  # DHE suites are offered
    rsa_bits: int = 2048
    ec_bits: int = 256
    hash_bits: int = 256  # of the signature on a certificate


# RFC 9325 4.2: the recommended suites. B.12 does not list suites but points to BCP 195.
_BCP195: Final = (0xC02C, 0xC030, 0xC02B, 0xC02F)
# Not TLS_AES_128_CCM_8_SHA256: the TLS registry does not recommend it, and RFC 9325 asks for nothing weaker.
_BCP195_13: Final = frozenset({0x1301, 0x1302, 0x1303, 0x1304})

# PS3.15 B.13 (2026c), TLS 1.2, mandatory for servers. The 2023b list had four Camellia suites more, which OpenSSL does not have.
_B13_MANDATORY: Final = (0xC02C, 0xC030, 0xC0AD, 0xC0AF, 0xCCA9, 0xCCA8, 0xC02F, 0xC02B, 0xC0AC, 0xC0AE)
_B13_OPTIONAL: Final = (
    *(0xC087, 0xC08B, 0xC086, 0xC08A),  # ECDHE Camellia-GCM
    *(0x009F, 0xC07D, 0xC09F, 0xC0A3, 0xCCAA, 0x009E, 0xC07C, 0xC09E, 0xC0A2),  # DHE
)

# PS3.15 B.10, B.11 (retired): the four required suites; B.11 allows eight more and nothing else.
_B10_REQUIRED: Final = (0xC030, 0xC02F, 0x009F, 0x009E)
_B11_MORE: Final = (0xC07D, 0xC07C, 0xC02C, 0xC087, 0xC08B, 0xC02B, 0xC086, 0xC08A)

# What B.9 would add, its fall back to TLS 1.0, is not spoken here.
_BCP195_2015: Final = Profile(
    "B.10",
    "Non-Downgrading BCP 195 TLS Secure Transport Connection Profile",
    Standing.RETIRED,
    offered12=(*_BCP195, 0x009F, 0x009E),
    required12=frozenset(_B10_REQUIRED),
    allowed12=frozenset((*_BCP195, 0x009F, 0x009E)),
    allowed13=_BCP195_13,
    diffie_hellman=True,
)

_ALL: Final = (
    Profile(
        "B.12",
        "BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile",
        Standing.CURRENT,
        offered12=_BCP195,
        required12=frozenset(_BCP195),
        allowed12=frozenset(_BCP195),
        allowed13=_BCP195_13,
    ),
    Profile(
        "B.13",
        "Modified BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile",
        Standing.CURRENT,
        offered12=_B13_MANDATORY,
        required12=frozenset(_B13_MANDATORY),
        allowed12=frozenset(_B13_MANDATORY + _B13_OPTIONAL),
        required13=frozenset(TLS13),
        allowed13=frozenset(TLS13),
        both_certificates=True,
        client_needs_tls12=False,
    ),
    _BCP195_2015._replace(name="B.9", title="BCP 195 TLS Secure Transport Connection Profile (without its fall back to TLS 1.0)"),
    _BCP195_2015,
    Profile(
        "B.11",
        "Extended BCP 195 TLS Secure Transport Connection Profile",
        Standing.RETIRED,
        offered12=(*_B10_REQUIRED, 0xC02C, 0xC02B),
        required12=frozenset(_B10_REQUIRED),
        allowed12=frozenset(_B10_REQUIRED + _B11_MORE),
        allowed13=_BCP195_13,
        diffie_hellman=True,
    ),
    Profile("B.1", "Basic TLS Secure Transport Connection Profile", Standing.REFUSED),
    Profile("B.3", "AES TLS Secure Transport Connection Profile", Standing.REFUSED),
)

PROFILES: Final[dict[str, Profile]] = {profile.name: profile for profile in _ALL}


def profile_named(name: str, *, allow_retired: bool) -> Profile:
    """Return the profile called `name`, as `B.12`. Raises `ProfileNotMet` when there is none, it is retired and not allowed, or refused."""
    profile = PROFILES.get(name)
    if profile is None:
        known = " ".join(p.name for p in _ALL if p.standing is Standing.CURRENT)
        raise ProfileNotMet(Code.PROFILE_UNKNOWN, f"{name!r}; current profiles: {known}")
    if profile.standing is Standing.REFUSED:
        raise ProfileNotMet(Code.PROFILE_REFUSED, f"{name} {profile.title}: TLS 1.0 with 3DES or AES-CBC, SHA-1, RSA key transport")
    if profile.standing is Standing.RETIRED and not allow_retired:
        raise ProfileNotMet(Code.PROFILE_RETIRED_REFUSED, f"{name} {profile.title}")
    return profile
