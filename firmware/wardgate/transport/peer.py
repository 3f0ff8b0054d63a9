"""The rules for a peer's certificate, applied after every handshake, full or resumed: the one place where they stand.

OpenSSL has verified signatures and dates up to an anchor in a full handshake and nothing at all in a resumed one. Here, each time:
the anchor is this party's, dates, CRLs, key sizes, signature hashes, usage, names, pins; and later the AE title.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from wardgate.codes import Code
from wardgate.transport import chain as chains
from wardgate.transport.crl import State
from wardgate.transport.errors import PeerRefused
from wardgate.transport.profiles import profile_named

if TYPE_CHECKING:
    from wardgate.policy.model import Party
    from wardgate.policy.tls import Tls
    from wardgate.transport.chain import Facts
    from wardgate.transport.crl import CrlStore

_MAX_CHAINS: Final = 1024
_MAX_LENGTH: Final = 8  # certificates in one chain
_ANY_USAGE: Final = "2.5.29.37.0"


class TlsRole(Enum):
    """Which TLS role the peer played; the value is the extended key usage that it needs (RFC 5280 4.2.1.12)."""

    SERVER = "1.3.6.1.5.5.7.3.1"
    CLIENT = "1.3.6.1.5.5.7.3.2"


class PeerIdentity(NamedTuple):
    """Who the peer proved to be. Fingerprints are SHA-256 hex, empty for a peer without certificate; `not_after` seconds since 1970."""

    fingerprint: str
    subject_names: tuple[str, ...]
    anchor_fingerprint: str
    not_after: float
    warnings: tuple[Code, ...] = ()


ANONYMOUS: Final = PeerIdentity("", (), "", float("inf"))


class _Known:
    """A verified chain whose lasting properties were found good: what remains is judged at each use."""

    __slots__ = ("ders", "facts", "identity", "not_after", "not_before")

    def __init__(self, ders: tuple[bytes, ...], facts: tuple[Facts, ...]) -> None:
        self.ders = ders
        self.facts = facts
        self.not_before = max(f.not_before for f in facts)
        self.not_after = min(f.not_after for f in facts)
        self.identity = PeerIdentity(facts[0].fingerprint, facts[0].names, facts[-1].fingerprint, self.not_after)


class PeerChecker:
    """Judges the certificates of one party. Remembers verified chains by leaf, for sessions that are resumed without one."""

    def __init__(self, tls: Tls, crls: CrlStore, floor: float = 0.0) -> None:
        """Raise `ProfileNotMet` when the profile or the anchors cannot be used. `floor`: Unix seconds that have passed for certain."""
        self._floor = floor
        self._tls = tls
        self._crls = crls
        self._profile = profile_named(tls.profile, allow_retired=tls.unsafe_allow_retired_profile)
        self._anchors = chains.anchor_certificates(tls.anchors)
        self._names = _wanted_names(tls)
        self._pins = _pins(tls)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()  # by leaf, DER
        self._other_anchors: dict[Path, Collection[str]] = {}

    def check(self, leaf: bytes, chain: Sequence[bytes], resumed: bool, now: float, role: TlsRole | None = None) -> PeerIdentity:
        """Return who the peer is; raise `PeerRefused`.

        `leaf` DER, empty when none was sent; `chain` as verified by OpenSSL, leaf first, anchor last, DER, empty when resumed;
        `now` seconds since 1970; `role`, when given, is checked against the extended key usage.
        """
        if not leaf:
            if self._tls.mutual:
                raise PeerRefused(Code.TLS_NO_CLIENT_CERTIFICATE)
            return ANONYMOUS
        known = self._known.get(leaf)
        if chain:
            if known is None or known.ders != tuple(chain):
                known = self._learn(leaf, chain)
        elif not resumed:
            raise PeerRefused(Code.CHAIN_UNTRUSTED, f"certificate {_short(leaf)} was not verified")
        elif known is None:
            raise PeerRefused(Code.RESUMED_UNKNOWN, f"certificate {_short(leaf)}")
        self._known.move_to_end(leaf)
        now = max(now, self._floor)  # a clock that was set back must not make a certificate good again
        if not known.not_before <= now <= known.not_after:
            raise _out_of_date(known, now)
        self._judge_usage(known.facts[0], role)
        self._judge_names(known.identity)
        return self._judge_crls(known, now)

    def check_ae(self, identity: PeerIdentity, party: Party, ae_title: str) -> None:
        """Raise `PeerRefused` unless the certificate may use `ae_title`: the party's AE, under the party's anchor, with its name or pin."""
        if "*" not in party.ae_titles and ae_title.strip() not in party.ae_titles:
            raise PeerRefused(Code.CERTIFICATE_WRONG_AE, f"AE title not of {party.name}")
        tls = party.tls
        if tls is None:
            raise PeerRefused(Code.CERTIFICATE_WRONG_AE, f"{party.name} is not reached over TLS")
        if not identity.fingerprint:
            if tls.mutual:
                raise PeerRefused(Code.TLS_NO_CLIENT_CERTIFICATE)
            return
        if identity.anchor_fingerprint not in self._anchors_of(tls):
            raise PeerRefused(Code.CERTIFICATE_WRONG_ANCHOR, f"{party.name}: anchor {identity.anchor_fingerprint[:16]}")
        own = tls is self._tls
        names, pins = (self._names, self._pins) if own else (_wanted_names(tls), _pins(tls))
        _judge_binding(identity, tls, names, pins, Code.CERTIFICATE_WRONG_AE)

    def _learn(self, leaf: bytes, chain: Sequence[bytes]) -> _Known:
        """Judge what never changes about a chain, and remember it. Signatures are verified once more: the caller may be wrong."""
        if chain[0] != leaf or len(chain) > _MAX_LENGTH:
            raise PeerRefused(Code.CHAIN_INVALID, f"chain of {len(chain)} certificates, or not of this leaf")
        facts = self._up_to_our_anchor(tuple(chains.read_facts(der) for der in chain))
        for at, each in enumerate(facts):
            weak = chains.weakness(each, self._profile, anchor=at == len(facts) - 1)
            if weak is not None:
                raise PeerRefused(*weak)
            if at + 1 < len(facts) and not (facts[at + 1].is_authority and chains.issued_by(each, facts[at + 1])):
                raise PeerRefused(Code.CHAIN_INVALID, f"{each.who} is not issued by the next in the chain")
        known = self._known[leaf] = _Known(tuple(chain), facts)
        if len(self._known) > _MAX_CHAINS:
            self._known.popitem(last=False)
        if self._tls.crl_policy != "off":
            self._crls.want(point for each in facts[:-1] for point in each.points)
        return known

    def _up_to_our_anchor(self, facts: tuple[Facts, ...]) -> tuple[Facts, ...]:
        """Return the chain with our anchor at its end. OpenSSL ends it at the nearest certificate that anybody trusts who shares the port:
        that may be one which an anchor of ours has issued, and then is judged as every other below an anchor."""
        last = facts[-1]
        if last.fingerprint in self._anchors:
            return facts
        for der in self._anchors.values():
            anchor = chains.read_facts(der)
            if chains.issued_by(last, anchor):
                return (*facts, anchor)
        raise PeerRefused(Code.CERTIFICATE_WRONG_ANCHOR, f"anchor {last.fingerprint[:16]}")

    def _judge_usage(self, leaf: Facts, role: TlsRole | None) -> None:
        if role is not None and leaf.usages is not None and role._value_ not in leaf.usages and _ANY_USAGE not in leaf.usages:
            raise PeerRefused(Code.CERTIFICATE_WRONG_USAGE, f"{leaf.who}: needs {role.name.lower()} authentication")

    def _judge_names(self, identity: PeerIdentity) -> None:
        if self._pins and identity.fingerprint not in self._pins:
            raise PeerRefused(Code.CERTIFICATE_NOT_PINNED, f"certificate {identity.fingerprint}")
        _judge_binding(identity, self._tls, self._names, self._pins, Code.CERTIFICATE_WRONG_NAME)

    def _judge_crls(self, known: _Known, now: float) -> PeerIdentity:
        policy = self._tls.crl_policy
        if policy == "off":
            return known.identity
        identity = known.identity
        for at in range(len(known.facts) - 1):  # the anchor is trusted by hand, not by a CRL
            subject = known.facts[at]
            state = self._crls.state(subject, known.facts[at + 1], now)
            if state is State.GOOD:
                continue
            if state is State.REVOKED:
                raise PeerRefused(Code.CERTIFICATE_REVOKED, subject.who)
            if state is State.MISSING:
                if policy == "require":
                    raise PeerRefused(Code.CRL_MISSING, f"issuer of {subject.who}")
            elif self._tls.stale_crl == "refuse":
                raise PeerRefused(Code.CRL_STALE, f"issuer of {subject.who}")
            elif not identity.warnings:
                identity = identity._replace(warnings=(Code.CRL_STALE_ACCEPTED,))
        return identity

    def _anchors_of(self, tls: Tls) -> Collection[str]:
        if tls is self._tls or tls.anchors == self._tls.anchors:
            return self._anchors
        found = self._other_anchors.get(tls.anchors)
        if found is None:
            found = self._other_anchors[tls.anchors] = frozenset(chains.anchor_certificates(tls.anchors))
        return found


def _short(leaf: bytes) -> str:
    return hashlib.sha256(leaf).hexdigest()[:16]


def _wanted_names(tls: Tls) -> frozenset[str]:
    return frozenset(chains.normal_name(name) for name in tls.names)


def _pins(tls: Tls) -> frozenset[str]:
    return frozenset(pin.replace(":", "").lower() for pin in tls.fingerprints)


def _judge_binding(identity: PeerIdentity, tls: Tls, names: frozenset[str], pins: frozenset[str], code: Code) -> None:
    """One of the names, exactly (a wildcard binds nobody and matches nothing); with pins alone, one of the pins."""
    if names:
        if names.isdisjoint(identity.subject_names):
            raise PeerRefused(code, f"certificate names: {' '.join(identity.subject_names[:4]) or 'none'}")
        if pins and identity.fingerprint not in pins:
            raise PeerRefused(code, "not pinned")
    elif pins:
        if identity.fingerprint not in pins:
            raise PeerRefused(code, "not pinned")
    elif not tls.unsafe_allow_any_name:
        raise PeerRefused(Code.CERTIFICATE_NOT_BOUND)


def _out_of_date(known: _Known, now: float) -> PeerRefused:
    for each in known.facts:
        if now < each.not_before:
            return PeerRefused(Code.CERTIFICATE_NOT_YET_VALID, each.who)
        if now > each.not_after:
            return PeerRefused(Code.CERTIFICATE_EXPIRED, each.who)
    raise AssertionError("one of the dates must be off")
