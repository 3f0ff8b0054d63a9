"""TLS contexts of one party, built from its configuration and profile, and judged by what they really offer.

OpenSSL verifies the chain to the anchors during the handshake; every other rule about certificates is in `peer`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wardgate.codes import Code
from wardgate.policy.model import DEFAULT_KEYS, Keys
from wardgate.signer import signer_for
from wardgate.transport import compat
from wardgate.transport.errors import ProfileNotMet, explain
from wardgate.transport.ownchain import completed
from wardgate.transport.profiles import Profile, profile_named
from wardgate.transport.suites import CODES, OPENSSL_NAMES, TLS13, iana_names

if TYPE_CHECKING:
    from wardgate.policy.tls import Tls

GROUPS: Final = ["X25519", "P-256", "P-384"]
_FFDHE: Final = Path(__file__).with_name("ffdhe3072.pem")  # RFC 7919; DHE of the retired profiles
_LEVEL: Final = 2  # OpenSSL security level: RSA 2048, EC 224, no SHA-1 signature


class ProfiledContext(ssl.SSLContext):
    """A context that knows its profile, so that a channel can check what was negotiated."""

    profile: Profile


class TlsContexts:
    """The contexts of one party for one generation. Each is built at first use and kept.

    `more_anchors` serve the handshake of callers only, where several parties share port and source address: `PeerChecker` still demands
    the party's own.
    """

    def __init__(self, tls: Tls, more_anchors: Iterable[Path] = (), keys: Keys = DEFAULT_KEYS, *, rehearsal: bool = False) -> None:
        """Take the key service from `keys`; `rehearsal`: do not ask it for signatures, its tokens may be out.

        Raise `ProfileNotMet` when the profile is unknown, refused, or retired and not allowed.
        """
        self._tls = tls
        self._anchors = (tls.anchors, *more_anchors)
        self._keys = keys
        self._rehearsal = rehearsal
        self.profile = profile_named(tls.profile, allow_retired=tls.unsafe_allow_retired_profile)
        self._server: ProfiledContext | None = None
        self._client: ProfiledContext | None = None

    def server(self) -> ProfiledContext:
        """Return the context for callers. Raises `ProfileNotMet`."""
        if self._server is None:
            context = self._build(ssl.PROTOCOL_TLS_SERVER)
            # PS3.15 B.12: servers support mutual authentication, which may be configured off.
            context.verify_mode = ssl.CERT_REQUIRED if self._tls.mutual else ssl.CERT_NONE
            self._arm(context, as_server=True)
            if self._tls.session_resumption:
                context.num_tickets = 1  # one is all that a DICOM peer ever uses; the default of two costs a record more
            else:
                context.num_tickets = 0
                context.options |= ssl.OP_NO_TICKET
            judge(context, self._tls.min_version, as_server=True)
            self._server = context
        return self._server

    def client(self) -> ProfiledContext:
        """Return the context for outgoing legs. Raises `ProfileNotMet`."""
        if self._client is None:
            context = self._build(ssl.PROTOCOL_TLS_CLIENT)
            self._arm(context, as_server=False)
            judge(context, self._tls.min_version, as_server=False)
            self._client = context
        return self._client

    def _build(self, protocol: int) -> ProfiledContext:
        profile = self.profile
        context = ProfiledContext(protocol)
        context.profile = profile
        context.check_hostname = False  # names are a rule of `peer`, also on resumed sessions
        context.verify_mode = ssl.CERT_REQUIRED
        # An anchor may be the issuing CA, or the one certificate of a device, as hospitals hand them out.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_TRUSTED_FIRST
        context.minimum_version = ssl.TLSVersion.TLSv1_3 if self._tls.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
        # RFC 9325 3.3, 3.5: no compression, no renegotiation. Our order of suites is the one that counts.
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        level = 0 if profile.required13 and compat.CCM8_NEEDS_LEVEL_0 else _LEVEL
        context.set_ciphers(":".join(OPENSSL_NAMES[code] for code in profile.offered12) + f":@SECLEVEL={level}")
        compat.set_tls13_suites(context, [name for code, name in TLS13.items() if code in (profile.required13 or profile.allowed13)])
        compat.set_groups(context, GROUPS)
        if profile.diffie_hellman and protocol == ssl.PROTOCOL_TLS_SERVER:
            context.load_dh_params(str(_FFDHE))
        # Whom we call is known: his root alone, or a chain might end at the nearer one of a party that only shares a port with him.
        for anchors in self._anchors if protocol == ssl.PROTOCOL_TLS_SERVER else (self._tls.anchors,):
            try:
                context.load_verify_locations(anchors)
            except (OSError, ssl.SSLError) as error:
                raise ProfileNotMet(Code.ANCHORS_UNREADABLE, f"{anchors}: {_words(error)}") from error
        return context

    def _arm(self, context: ProfiledContext, *, as_server: bool) -> None:
        if as_server and not self._tls.certificates:
            raise ProfileNotMet(Code.OWN_CERTIFICATE_UNREADABLE, "a TLS server needs a certificate; none is named")
        for pair in self._tls.certificates:
            try:
                with completed(pair.chain, self._anchors) as chain:
                    signer_for(pair.key, self._keys, rehearsal=self._rehearsal).arm(context, chain)
            except ssl.SSLError as error:
                weak = explain(error, handshake=True)[0] is Code.TLS_WEAK
                code = Code.OWN_CERTIFICATE_WEAK if weak else Code.OWN_CERTIFICATE_UNREADABLE
                raise ProfileNotMet(code, f"{pair.chain}: {_words(error)}") from error
            except OSError as error:
                raise ProfileNotMet(Code.OWN_CERTIFICATE_UNREADABLE, f"{pair.chain}, {pair.key}: {_words(error)}") from error
        if self.profile.both_certificates:
            self._check_own(as_server=as_server)

    def _check_own(self, *, as_server: bool) -> None:
        """B.13: sizes and hashes are ours to check where the security level is 0; a server needs both kinds of certificate."""
        from wardgate.transport.chain import first_certificate, weakness

        kinds = set()
        for pair in self._tls.certificates:
            facts = first_certificate(pair.chain)
            found = weakness(facts, self.profile)
            if found is not None:
                raise ProfileNotMet(Code.OWN_CERTIFICATE_WEAK, f"{pair.chain}: {found[1]}")
            kinds.add(facts.key_kind)
        if as_server and kinds != {"EC", "RSA"}:
            raise ProfileNotMet(Code.PROFILE_CERTIFICATES, f"{self.profile.name}: has {' '.join(sorted(kinds)) or 'none'}")


def offered(context: ssl.SSLContext) -> frozenset[int]:
    """Return the registry codes of all suites that `context` offers, TLS 1.2 and 1.3."""
    return frozenset(int(cipher["id"]) & 0xFFFF for cipher in context.get_ciphers())


def judge(context: ProfiledContext, min_version: str, *, as_server: bool) -> None:
    """Compare the suites that `context` offers with its profile. Raises `ProfileNotMet` that names the difference."""
    profile = context.profile
    suites = offered(context)
    with13 = suites & frozenset(TLS13)
    with12 = suites - with13
    if min_version == "1.3":
        with12 = frozenset()
    if with12 - profile.allowed12:
        raise ProfileNotMet(Code.PROFILE_SUITES_FORBIDDEN, f"{profile.name}: {iana_names(with12 - profile.allowed12)}")
    # The TLS 1.3 suites of a process that also serves B.13 cannot be narrowed before Python 3.15: `outside_profile` sees to it instead.
    if with13 - profile.allowed13 and compat.can_set_tls13_suites():
        raise ProfileNotMet(Code.PROFILE_SUITES_FORBIDDEN, f"{profile.name}: {iana_names(with13 - profile.allowed13)}")
    if as_server:
        missing = (profile.required12 - with12) | (profile.required13 - with13)
    elif profile.client_needs_tls12:
        missing = frozenset() if with12 else profile.required12
    else:
        missing = frozenset() if with12 | with13 else profile.required12
    if missing:
        why = " (min_version = 1.3 leaves them out)" if min_version == "1.3" else ""
        if missing & frozenset(TLS13) and not compat.can_set_tls13_suites():
            why = f" (set by OPENSSL_CONF, now {compat.process_configuration() or 'not set'!r})"
        raise ProfileNotMet(Code.PROFILE_SUITES_MISSING, f"{profile.name}{why}: {iana_names(missing)}")


def outside_profile(context: ssl.SSLContext, version: str, cipher: str) -> bool:
    """Whether what a handshake chose is outside the profile of `context` (never for a context without one)."""
    profile = getattr(context, "profile", None)
    if profile is None:
        return False
    allowed = profile.allowed13 if version == "TLSv1.3" else profile.allowed12
    return version not in ("TLSv1.2", "TLSv1.3") or CODES.get(cipher, -1) not in allowed


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return explain(error, handshake=True)[1]
    return error.strerror or str(error)
