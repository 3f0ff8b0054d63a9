"""The one table of failure codes: what every log line, abort and refusal of Wardgate carries.

A leaf: it imports nothing of Wardgate and all may import it. `docs/codes.md` is generated from it (`make codes`).
Numbers are never used again for another meaning.

    1xx configuration   2xx network and processes   3xx TLS and certificates
    4xx upper layer     5xx policy                  6xx custody
    7xx keys, tokens    80x-82x ISCL                83x-86x the plant
    87x-89x hold        90x-92x updates             93x-95x the box: what hangs, state, vault, time, supervisor
    96x-97x audit        98x migrations
"""

from __future__ import annotations

from enum import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Side(Enum):
    """Which side of the box has to act."""

    BOX = "box"
    MODALITY = "modality"
    HOSPITAL = "hospital"
    PEER = "peer"  # whichever side called or was called; the log line names it
    NETWORK = "network"


class Level(Enum):
    """How loud: `INFO` is normal work, `WARN` passes but should be looked at, `ERROR` refused or lost something."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class Entry:
    """One row: the sentence says what happened and under which rule, `action` what a person does about it.

    Not a `NamedTuple`: the master does without `typing`, which is 1 MiB.
    """

    __slots__ = ("action", "level", "number", "sentence", "side")

    def __init__(self, number: int, side: Side, level: Level, sentence: str, action: str) -> None:
        self.number = number
        self.side = side
        self.level = level
        self.sentence = sentence
        self.action = action


def _row(number: int, side: Side, level: Level, sentence: str, action: str) -> Code:
    return number, side, level, sentence, action  # type: ignore[return-value]  # `_Table` makes the code of it


class _Table(type):
    """The class of `Code`: keeps the rows and makes each code when it is first asked for. There is one of each, ever."""

    _rows: dict[str, tuple[int, Side, Level, str, str]]
    _made: dict[str, Code]
    _words: dict[int, str]  # by number; filled when first asked

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _Table:
        rows = {word: namespace.pop(word) for word in tuple(namespace) if word.isupper()}
        return super().__new__(cls, name, bases, {**namespace, "_rows": rows, "_made": {}, "_words": {}})

    def __getitem__(cls, word: str) -> Code:
        if word not in cls._made:
            code = cls(word, Entry(*cls._rows[word]))
            type.__setattr__(cls, word, cls._made.setdefault(word, code))  # threads may ask at once: the first one stays
        return cls._made[word]

    if not TYPE_CHECKING:  # a type checker would take any word for a code; it sees the rows as they are written

        def __getattr__(cls, word: str) -> Code:
            try:
                return cls[word]
            except KeyError:
                raise AttributeError(f"there is no code {word}") from None

    def __setattr__(cls, word: str, value: object) -> None:
        raise AttributeError(f"the table of codes is as it is written: {word}")

    def __iter__(cls) -> Iterator[Code]:
        return iter(cls.__members__.values())

    def __len__(cls) -> int:
        return len(cls._rows)

    @property
    def __members__(cls) -> dict[str, Code]:
        return {word: cls[word] for word in cls._rows}

    def numbered(cls, number: int) -> Code | None:
        """Return the code of this number, if there is one."""
        if not cls._words:
            cls._words.update({row[0]: word for word, row in cls._rows.items()})
        word = cls._words.get(number)
        return None if word is None else cls[word]


class Code(metaclass=_Table):
    """Failure codes by name; `Code.X.value` is its `Entry`, `str(Code.X)` its printed form, such as `WG401`.

    Used as an `Enum` is, and none: each process of the box loads the table when it starts and uses a part of it; `Enum` makes every member
    at once, which took longer than all else here.
    """

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Entry) -> None:
        self.name = name
        self.value = value

    def __str__(self) -> str:
        return f"WG{self.value.number:03d}"

    def __repr__(self) -> str:
        return f"Code.{self.name}"

    def __reduce__(self) -> str:
        return f"Code.{self.name}"  # a copy, pickled or not, is the code itself

    # 1xx configuration
    CONFIG_SYNTAX = _row(101, Side.BOX, Level.ERROR, "the configuration is not valid TOML", "mend the line named")
    CONFIG_UNREADABLE = _row(102, Side.BOX, Level.ERROR, "the configuration file cannot be read", "check the path and its permissions")
    CONFIG_UNKNOWN_WORD = _row(
        103, Side.BOX, Level.ERROR, "a word that the configuration does not know", "mend or remove it; docs/configuration.md lists all"
    )
    CONFIG_MISSING = _row(104, Side.BOX, Level.ERROR, "a word that must be there is missing", "add it")
    CONFIG_TYPE = _row(105, Side.BOX, Level.ERROR, "a value has the wrong type", "write it as the mistake says")
    CONFIG_BOUNDS = _row(106, Side.BOX, Level.ERROR, "a value is outside its bounds", "choose one inside them")
    CONFIG_VALUE = _row(107, Side.BOX, Level.ERROR, "a value is not one that this word may have", "choose one that the mistake names")
    CONFIG_DUPLICATE = _row(108, Side.BOX, Level.ERROR, "a name is used twice", "rename one")
    CONFIG_LISTEN_CLASH = _row(
        109,
        Side.BOX,
        Level.ERROR,
        "one listening endpoint is claimed twice and a caller could not be told apart",
        "use another port, or the same transport with source addresses that do not overlap (with mutual TLS: or other AE titles)",
    )
    CONFIG_FILE = _row(
        110, Side.BOX, Level.ERROR, "a file that the configuration names cannot be used", "check the path and its permissions"
    )
    CONFIG_KEY_EXPOSED = _row(
        111, Side.BOX, Level.ERROR, "a private key may be used by other accounts", "chmod 600 the key, its owner the gateway's account"
    )
    CONFIG_NOT_BUILT = _row(112, Side.BOX, Level.ERROR, "a function that is not built yet", "use what the mistake names")
    CONFIG_UNSAFE_NEEDED = _row(
        113, Side.BOX, Level.ERROR, "something insecure is asked for without its unsafe switch", "do without it, or set the switch named"
    )
    CONFIG_PROFILE = _row(114, Side.BOX, Level.ERROR, "a secure transport profile that cannot be had", "use B.12 or B.13 of PS3.15")
    CONFIG_CONTRADICTION = _row(115, Side.BOX, Level.ERROR, "two words of the configuration contradict each other", "change one of them")
    CONFIG_TOO_LARGE = _row(116, Side.BOX, Level.ERROR, "the configuration is larger than the gateway takes", "split it over several boxes")
    CONFIG_CERTIFICATE_EXPIRES = _row(117, Side.BOX, Level.WARN, "a certificate of the box will expire soon", "enrol it again")
    CONFIG_UNSAFE = _row(118, Side.BOX, Level.WARN, "an unsafe switch is on", "set it back as soon as the reason for it is gone")
    CONFIG_CERTIFICATE_EXPIRED = _row(119, Side.BOX, Level.ERROR, "a certificate of the box has expired", "enrol it again")
    CONFIG_KEY_UNUSABLE = _row(120, Side.BOX, Level.ERROR, "a private key cannot be used", "give the kind of key that the mistake names")
    # 2xx network and processes
    STARTED = _row(201, Side.BOX, Level.INFO, "the gateway listens", "nothing")
    STOPPING = _row(
        202, Side.BOX, Level.INFO, "the gateway was told to stop; running associations may end", "nothing; a second signal stops at once"
    )
    STOPPED = _row(203, Side.BOX, Level.INFO, "the gateway has stopped", "nothing")
    RELOADED = _row(204, Side.BOX, Level.INFO, "a new generation serves; the old one drains", "nothing")
    DRAINED = _row(205, Side.BOX, Level.INFO, "a worker ended its last association and left", "nothing")
    RELOAD_REFUSED = _row(
        206, Side.BOX, Level.ERROR, "the new configuration was refused; the old one goes on", "mend it (wardgate check) and reload"
    )
    WORKER_DIED = _row(
        207, Side.BOX, Level.ERROR, "a worker died with its associations; another takes its place", "report it with the lines above it"
    )
    WRITER_DIED = _row(208, Side.BOX, Level.ERROR, "the custody writer died; another takes its place", "report it with the lines above it")
    WORKER_GREW = _row(
        217,
        Side.BOX,
        Level.WARN,
        "a worker holds more than limits.worker_mebibytes; others take its place while its associations run to their end",
        "nothing; report it when it comes every day",
    )
    START_FAILED = _row(209, Side.BOX, Level.ERROR, "a process could not start", "see the detail and the lines above it")
    LISTEN_FAILED = _row(
        210, Side.BOX, Level.ERROR, "a listening endpoint cannot be opened", "check the address and what else uses the port"
    )
    DRAIN_TIMEOUT = _row(
        211,
        Side.BOX,
        Level.WARN,
        "associations still ran at the end of the drain time and were ended",
        "raise limits.drain_seconds if the study was long",
    )
    NEEDS_RESTART = _row(
        212, Side.BOX, Level.ERROR, "this change needs a restart and was not taken over", "restart the gateway at a quiet moment"
    )
    STATUS_UNREACHABLE = _row(
        213, Side.BOX, Level.ERROR, "no running gateway answers on its status socket", "start it, or run as its account"
    )
    RUN_DIR_FAILED = _row(214, Side.BOX, Level.ERROR, "the run directory cannot be used", "check box.run_dir and its owner")
    ALREADY_RUNNING = _row(
        215, Side.BOX, Level.ERROR, "another gateway runs with this run directory", "stop it first, or give this one another box.run_dir"
    )
    CHILD_FAILED = _row(216, Side.BOX, Level.WARN, "a helper process of the master failed", "see the lines above it; it is tried again")
    SILENT_CLIENT = _row(
        250,
        Side.PEER,
        Level.WARN,
        "the caller connected and sent nothing; an ISCL initiator waits like this for the acceptor to speak first (PS3.15 B.2)",
        "find out what calls here; an ISCL peer needs a port of its own",
    )
    CLEAR_ON_TLS_PORT = _row(
        251,
        Side.PEER,
        Level.ERROR,
        "DICOM in clear arrived where TLS is declared (one transport a port, PS3.15 B.12)",
        "switch TLS on at the peer, or let it call the plain port",
    )
    TLS_ON_CLEAR_PORT = _row(
        252,
        Side.PEER,
        Level.ERROR,
        "TLS arrived where plain DICOM is declared (one transport a port, PS3.15 B.12)",
        "switch TLS off at the peer, or let it call the TLS port",
    )
    HTTP_ON_DICOM_PORT = _row(
        253, Side.PEER, Level.ERROR, "HTTP arrived on a DICOM port", "point the browser, monitor or DICOMweb client somewhere else"
    )
    SSH_ON_DICOM_PORT = _row(254, Side.PEER, Level.ERROR, "an SSH greeting arrived on a DICOM port", "correct the port at the peer")
    GARBAGE_ON_PORT = _row(
        255, Side.PEER, Level.WARN, "the first bytes are neither DICOM nor TLS", "find out what calls here (a port scanner, a wrong port)"
    )
    OBSOLETE_TLS_HELLO = _row(
        256, Side.PEER, Level.ERROR, "an SSL 2.0 greeting arrived; nothing older than TLS 1.2 is spoken (RFC 8996)", "update the peer"
    )
    # 3xx TLS and certificates
    PROFILE_UNKNOWN = _row(300, Side.BOX, Level.ERROR, "no TLS profile of that name exists in PS3.15 Annex B", "name B.12 or B.13")
    PROFILE_REFUSED = _row(
        301,
        Side.BOX,
        Level.ERROR,
        "this profile is not spoken: it needs TLS 1.0 with 3DES or SHA-1, which is neither safe nor possible here (RFC 8996)",
        "use B.12; put a box in front of the old peer too",
    )
    PROFILE_RETIRED = _row(
        302, Side.BOX, Level.WARN, "a retired profile is in use (unsafe_allow_retired_profile)", "move this peer to B.12"
    )
    PROFILE_RETIRED_REFUSED = _row(
        303,
        Side.BOX,
        Level.ERROR,
        "the profile is retired and was not allowed",
        "use B.12, or set unsafe_allow_retired_profile for this one old peer",
    )
    PROFILE_SUITES_MISSING = _row(
        304,
        Side.BOX,
        Level.ERROR,
        "the profile is not really met: suites that it requires are not offered by this OpenSSL as configured",
        "claim B.12, or run with the OPENSSL_CONF that the gateway makes and an OpenSSL that has them",
    )
    PROFILE_SUITES_FORBIDDEN = _row(
        305,
        Side.BOX,
        Level.ERROR,
        "the profile is not really met: suites outside of it are offered",
        "report it: the gateway sets the suites itself",
    )
    PROFILE_CERTIFICATES = _row(
        306,
        Side.BOX,
        Level.ERROR,
        "the profile is not really met: as server it needs an ECDSA and an RSA certificate",
        "add the missing kind of certificate to this party",
    )
    OWN_CERTIFICATE_UNREADABLE = _row(
        307,
        Side.BOX,
        Level.ERROR,
        "the own certificate chain or key cannot be loaded, or they do not belong together",
        "correct the files or their permissions",
    )
    ANCHORS_UNREADABLE = _row(
        308, Side.BOX, Level.ERROR, "the trust anchors cannot be loaded or are none", "correct the file: PEM, one or more CA certificates"
    )
    OWN_CERTIFICATE_WEAK = _row(
        309,
        Side.BOX,
        Level.ERROR,
        "the own certificate is weaker than the profile allows (key size or signature hash)",
        "enrol a certificate with RSA of 2048 bits or more or EC of 256 or more, signed with SHA-256 or better",
    )
    OWN_CERTIFICATE_EXPIRED = _row(358, Side.BOX, Level.ERROR, "the own certificate has expired", "renew it")
    TLS_FAILED = _row(
        310, Side.PEER, Level.ERROR, "the TLS handshake failed", "read the detail; compare versions, suites and certificates of both sides"
    )
    TLS_PEER_NOT_TLS = _row(
        311,
        Side.PEER,
        Level.ERROR,
        "the peer answered something that is not TLS; it probably speaks plain DICOM on this port",
        "switch TLS on at the peer, or correct the port",
    )
    TLS_VERSION_MISMATCH = _row(
        312,
        Side.PEER,
        Level.ERROR,
        "no TLS version in common; 1.2 is the oldest allowed (RFC 8996)",
        "update the peer or allow TLS 1.2 there",
    )
    TLS_NO_COMMON_SUITE = _row(
        313,
        Side.PEER,
        Level.ERROR,
        "no cipher suite in common with the profile",
        "let the peer offer the ECDHE AES-GCM suites; give the box an ECDSA and an RSA certificate",
    )
    TLS_NO_CLIENT_CERTIFICATE = _row(
        314,
        Side.PEER,
        Level.ERROR,
        "the caller sent no certificate; mutual authentication is required",
        "give the caller a certificate of the CA that is named here as its anchor",
    )
    TLS_ENDED_IN_HANDSHAKE = _row(
        315,
        Side.PEER,
        Level.ERROR,
        "the peer closed the connection in the middle of the TLS handshake",
        "read the log of the peer: it did not say why",
    )
    TLS_INTEGRITY = _row(
        316,
        Side.NETWORK,
        Level.ERROR,
        "TLS integrity failure: a record was forged or damaged; the connection is dropped (PS3.15 B.12)",
        "look for a fault or an intruder on the network between",
    )
    TLS_TRUNCATED = _row(
        317,
        Side.PEER,
        Level.WARN,
        "the connection ended without the TLS close_notify",
        "nothing when it was after the release; else look at the peer or the network",
    )
    CHAIN_UNTRUSTED = _row(
        318,
        Side.PEER,
        Level.ERROR,
        "the peer's certificate does not lead to the anchors of this party",
        "name the right CA in anchors, or give the peer a certificate of that CA",
    )
    CHAIN_INVALID = _row(319, Side.PEER, Level.ERROR, "the peer's certificate chain is not valid", "read the detail; enrol the peer again")
    PEER_DISTRUSTS_US = _row(
        320,
        Side.PEER,
        Level.ERROR,
        "the peer does not know the CA of our certificate (alert unknown_ca)",
        "install the CA of the box at the peer",
    )
    PEER_SAYS_EXPIRED = _row(
        321,
        Side.PEER,
        Level.ERROR,
        "the peer says that our certificate has expired",
        "renew the certificate of the box; compare the clocks",
    )
    PEER_SAYS_REVOKED = _row(322, Side.PEER, Level.ERROR, "the peer says that our certificate is revoked", "enrol the box again")
    PEER_REJECTS_CERTIFICATE = _row(
        323,
        Side.PEER,
        Level.ERROR,
        "the peer rejects our certificate (alert bad, unsupported or unknown certificate)",
        "read the log of the peer: name, usage, or it is not registered there",
    )
    PEER_HANDSHAKE_FAILURE = _row(
        324,
        Side.PEER,
        Level.ERROR,
        "the peer broke the handshake off (alert handshake_failure): suites, certificate kind or a missing certificate",
        "compare the suites; peers with TLS 1.2 may need an RSA certificate on the box",
    )
    PEER_WANTS_CERTIFICATE = _row(
        325, Side.BOX, Level.ERROR, "the peer requires a client certificate and got none", "give this party a certificate"
    )
    PEER_DENIES_ACCESS = _row(
        326,
        Side.PEER,
        Level.ERROR,
        "the peer knows our certificate and denies access (alert access_denied)",
        "register the box at the peer",
    )
    PEER_ALERT = _row(327, Side.PEER, Level.ERROR, "the peer sent a fatal TLS alert", "read the detail and the log of the peer")
    PEER_SAYS_DECRYPT_ERROR = _row(
        328,
        Side.PEER,
        Level.ERROR,
        "the peer could not verify a signature or decrypt (alert decrypt_error or bad_record_mac)",
        "check that certificate and key of the box belong together; then suspect the network",
    )
    TLS_WEAK = _row(
        329,
        Side.PEER,
        Level.ERROR,
        "keys, hashes or parameters of the peer are below the security level",
        "enrol the peer with RSA of 2048 bits or EC of 256, signed with SHA-256",
    )
    CERTIFICATE_EXPIRED = _row(340, Side.PEER, Level.ERROR, "a certificate of the peer has expired", "renew it; compare the clocks")
    CERTIFICATE_NOT_YET_VALID = _row(
        341, Side.PEER, Level.ERROR, "a certificate of the peer is not valid yet", "compare the clocks of the box and of the CA"
    )
    CERTIFICATE_REVOKED = _row(
        342, Side.PEER, Level.ERROR, "a certificate of the peer is revoked", "enrol the peer again; find out why it was revoked"
    )
    CRL_MISSING = _row(
        343,
        Side.BOX,
        Level.ERROR,
        "no usable CRL of an issuer and crl_policy requires one",
        "add the CRL file or its URL; look why the download fails",
    )
    CRL_STALE = _row(
        344,
        Side.BOX,
        Level.ERROR,
        "the CRL of an issuer is past its nextUpdate",
        'renew the file, look why the download fails, or accept the risk with stale_crl = "warn"',
    )
    CRL_STALE_ACCEPTED = _row(
        345,
        Side.BOX,
        Level.WARN,
        'accepted on a CRL that is past its nextUpdate (stale_crl = "warn")',
        "renew the file, look why the download fails",
    )
    CERTIFICATE_KEY_WEAK = _row(
        346,
        Side.PEER,
        Level.ERROR,
        "a key in the certificate chain of the peer is too small: RSA under 2048 bits, EC under 256, or another kind",
        "enrol the peer with a stronger key",
    )
    CERTIFICATE_HASH_WEAK = _row(
        347,
        Side.PEER,
        Level.ERROR,
        "a certificate of the peer is signed with less than SHA-256",
        "enrol the peer with a CA that signs with SHA-256 or better",
    )
    CERTIFICATE_WRONG_NAME = _row(
        348,
        Side.PEER,
        Level.ERROR,
        "no name in the certificate of the peer (subjectAltName) is one of those configured",
        "correct names, or enrol the peer under its right name",
    )
    CERTIFICATE_NOT_PINNED = _row(
        349,
        Side.PEER,
        Level.ERROR,
        "the certificate of the peer is not one of the fingerprints configured",
        "add the new fingerprint if the peer renewed its certificate",
    )
    CERTIFICATE_WRONG_ANCHOR = _row(
        350,
        Side.PEER,
        Level.ERROR,
        "the chain of the peer ends at a CA that is not named for this AE title",
        "correct anchors, or enrol the peer with its own CA",
    )
    CERTIFICATE_WRONG_AE = _row(
        351,
        Side.PEER,
        Level.ERROR,
        "the certificate is not bound to the AE title that the peer uses",
        "correct the AE title at the peer, or ae_titles and names here",
    )
    CERTIFICATE_WRONG_USAGE = _row(
        352,
        Side.PEER,
        Level.ERROR,
        "the extended key usage of the certificate does not allow this TLS role",
        "enrol the peer with clientAuth and serverAuth",
    )
    RESUMED_UNKNOWN = _row(
        353,
        Side.BOX,
        Level.ERROR,
        "a resumed session whose certificate chain is no longer remembered; refused, the peer should call with a full handshake",
        "nothing when it happens once",
    )
    CERTIFICATE_NOT_BOUND = _row(
        354,
        Side.BOX,
        Level.ERROR,
        "neither names nor fingerprints bind a certificate to this party",
        "name the SAN or the fingerprint of the peer",
    )
    CERTIFICATE_MALFORMED = _row(355, Side.PEER, Level.ERROR, "a certificate of the peer cannot be parsed", "enrol the peer again")
    SUITE_OUTSIDE_PROFILE = _row(
        356,
        Side.PEER,
        Level.ERROR,
        "the handshake chose a suite or version outside the profile of this party",
        "correct the suites at the peer",
    )
    CRL_UNREADABLE = _row(370, Side.BOX, Level.ERROR, "a CRL file cannot be read or parsed", "correct the file: one CRL, PEM or DER")
    CRL_WRONG_SIGNER = _row(
        371,
        Side.BOX,
        Level.ERROR,
        "a CRL is not signed by the issuer that it names, or with a weak hash; it is ignored",
        "fetch it again from the CA; suspect a forgery",
    )
    CRL_FETCH_FAILED = _row(
        372, Side.NETWORK, Level.WARN, "a CRL could not be downloaded; the old one stays", "look at the URL, the network and the CA"
    )
    CRL_FETCHED = _row(373, Side.BOX, Level.INFO, "a CRL was downloaded", "nothing")
    CRL_URL_REFUSED = _row(374, Side.BOX, Level.WARN, "a CRL distribution point is not http:// and is not used", "give the CRL as a file")
    CRL_OLDER = _row(
        375,
        Side.NETWORK,
        Level.WARN,
        "a downloaded CRL is older than the one held; it is ignored",
        "look for a stale cache or a replay between the box and the CA",
    )
    # 4xx upper layer and relay
    LOG_SPACE_OUT = _row(
        427,
        Side.BOX,
        Level.ERROR,
        "no custody log space for one more instance; the association was aborted before it left the box",
        "free space under custody.log",
    )
    RECORD_FAILED = _row(
        428,
        Side.BOX,
        Level.ERROR,
        "no durable record; the sender got A700 although the other side may hold the instance",
        "look at the custody lines above; let the sender send it again",
    )
    CUSTODY_REFUSED = _row(
        429,
        Side.BOX,
        Level.ERROR,
        "the custody log took no open entry; the association was rejected",
        "look at the custody lines: disk full, or the writer is gone",
    )
    STORE_NOT_PROPOSED = _row(
        430,
        Side.PEER,
        Level.ERROR,
        "an instance, or a storage commitment report, in an association that proposed no class for it; aborted before it left the box",
        "report it to the maker of that side; it has to propose the SOP class",
    )
    TURN_LATE = _row(
        431,
        Side.PEER,
        Level.ERROR,
        "the called side was busy with associations that began before this one, whose turn did not come within its time",
        "look whether the called side is overloaded or hangs; limits.openings_per_peer, limits.handshake_seconds",
    )
    PDU_INVALID = _row(
        401,
        Side.PEER,
        Level.ERROR,
        "bytes that PS3.8 does not permit; the association was aborted",
        "report the clause named to the maker of that side",
    )
    UPPER_LAYER_DEFECT = _row(402, Side.BOX, Level.ERROR, "the gateway broke a rule of PS3.8 itself", "report it with the lines above it")
    DIMSE_INVALID = _row(
        403,
        Side.PEER,
        Level.ERROR,
        "a command set that PS3.7 does not permit; the association was aborted",
        "report the clause named to the maker of that side",
    )
    CONTEXT_NOT_ACCEPTED = _row(
        404,
        Side.PEER,
        Level.ERROR,
        "a message on a presentation context that was not accepted; the association was aborted",
        "report it to the maker of that side; if policy left the context out, see sop_classes",
    )
    UNEXPECTED_PDU = _row(
        405,
        Side.PEER,
        Level.ERROR,
        "a PDU that does not fit the state of the association (PS3.8 9.2)",
        "report it to the maker of that side",
    )
    REQUEST_LATE = _row(
        406, Side.PEER, Level.ERROR, "no whole A-ASSOCIATE-RQ within its time", "look what the caller sends; limits.associate_seconds"
    )
    ANSWER_LATE = _row(
        407,
        Side.PEER,
        Level.ERROR,
        "no answer to the A-ASSOCIATE-RQ within its time",
        "look whether the called side is overloaded; limits.associate_seconds",
    )
    IDLE = _row(
        408,
        Side.PEER,
        Level.WARN,
        "nothing passed either way for too long; the association was aborted",
        "raise limits.idle_seconds if that side thinks that long",
    )
    RELEASE_LATE = _row(409, Side.PEER, Level.WARN, "the release was not finished within its time", "nothing, unless it happens often")
    PEER_ABORTED = _row(
        410, Side.PEER, Level.WARN, "one side aborted the association (A-ABORT); passed on", "look at the log of the side named"
    )
    PEER_REJECTED = _row(
        411,
        Side.PEER,
        Level.WARN,
        "the called side rejected the association (A-ASSOCIATE-RJ); passed on",
        "look at the log of the side named",
    )
    LEG_LOST = _row(
        412,
        Side.NETWORK,
        Level.WARN,
        "a connection ended in the middle of an association",
        "look at the side named and the network between",
    )
    TOO_MANY_STORES = _row(
        413,
        Side.PEER,
        Level.ERROR,
        "more C-STORE requests, or storage commitment reports, under way than are followed",
        "lower the asynchronous operations window of that side",
    )
    CONNECT_FAILED = _row(
        414,
        Side.PEER,
        Level.ERROR,
        "the called side cannot be reached",
        "check that it runs, its address and port, and the network between",
    )
    CONNECT_LATE = _row(
        415,
        Side.PEER,
        Level.ERROR,
        "the called side did not take the connection within its time",
        "check the network between; limits.connect_seconds",
    )
    HANDSHAKE_LATE = _row(
        416,
        Side.PEER,
        Level.ERROR,
        "the TLS handshake was not finished within its time",
        "look at the side named; limits.handshake_seconds",
    )
    TOO_MANY_FROM_PEER = _row(
        417, Side.PEER, Level.ERROR, "too many connections from one address", "look what it opens; limits.connections_per_peer"
    )
    TOO_MANY_ASSOCIATIONS = _row(418, Side.BOX, Level.ERROR, "too many associations at once", "limits.associations; another box")
    NO_LINK = _row(
        419,
        Side.PEER,
        Level.ERROR,
        "no link of this port names the address that called",
        "correct addresses in the configuration, or find out what calls here",
    )
    DRAIN_CUT = _row(
        420,
        Side.BOX,
        Level.WARN,
        "the association was aborted because the gateway stops and its time was over",
        "nothing; limits.drain_seconds",
    )
    ASSOCIATION_BEGAN = _row(421, Side.BOX, Level.INFO, "association accepted", "nothing")
    ASSOCIATION_ENDED = _row(422, Side.BOX, Level.INFO, "association ended", "nothing")
    WOULD_REFUSE = _row(
        423, Side.BOX, Level.WARN, "policy would have refused this (enforce = false)", "correct the policy before it is enforced"
    )
    CONTEXT_LEFT_OUT = _row(424, Side.BOX, Level.INFO, "policy left presentation contexts out", "nothing; sop_classes names what may pass")
    PDU_TOO_LONG_FOR_PEER = _row(
        425,
        Side.PEER,
        Level.WARN,
        "a P-DATA-TF longer than the receiver announced; passed on (PS3.8 D.1)",
        "report it to the maker of that side",
    )
    WORKER_DEFECT = _row(426, Side.BOX, Level.ERROR, "a defect of the gateway ended an association", "report it with the detail")
    PDU_TOO_LONG = _row(
        440, Side.PEER, Level.ERROR, "a PDU is longer than its limit", "check that the peer speaks DICOM; raise the limit if it is right"
    )
    PDU_TOO_MANY = _row(
        441, Side.PEER, Level.ERROR, "a PDU holds more items than its limit", "report it to the maker of the sending system"
    )
    PDU_UNKNOWN_TYPE = _row(
        442, Side.PEER, Level.ERROR, "a PDU type that PS3.8 does not define", "check that the peer speaks DICOM on this port"
    )
    CONTEXT_ANSWER_UNASKED = _row(
        443,
        Side.PEER,
        Level.ERROR,
        "an answer to a presentation context that was left out",
        "report it to the maker of the answering system",
    )
    # 5xx policy
    CALLING_AE_REFUSED = _row(
        501, Side.PEER, Level.ERROR, "the calling AE title is not one that the link allows", "add it to ae_titles, or mend it at the caller"
    )
    CALLED_AE_REFUSED = _row(
        502,
        Side.PEER,
        Level.ERROR,
        "the called AE title is not one that the link reaches",
        "add it to a peer's ae_titles, or mend it at the caller",
    )
    DIRECTION_REFUSED = _row(
        503, Side.PEER, Level.ERROR, "the link does not let this side open associations", "add the direction to the link if it should"
    )
    SOP_CLASS_REFUSED = _row(
        504, Side.PEER, Level.WARN, "a SOP class that the link does not allow was left out", "add its UID to sop_classes if it should pass"
    )
    NO_CONTEXT_LEFT = _row(
        505,
        Side.PEER,
        Level.ERROR,
        "no presentation context is left that the link allows",
        "add a SOP class to sop_classes if it should pass",
    )
    NO_ROUTE = _row(506, Side.BOX, Level.ERROR, "the party called has no connect endpoint", "add connect to it if it should be reached")
    COMMITMENT_REPORTED = _row(560, Side.BOX, Level.INFO, "storage commitment was reported for all instances of a transaction", "nothing")
    COMMITMENT_FAILED = _row(
        561,
        Side.PEER,
        Level.ERROR,
        "storage commitment was reported to have failed for some instances",
        "send them again; custody show names the reason for each",
    )
    COMMITMENT_UNREADABLE = _row(
        562,
        Side.PEER,
        Level.ERROR,
        "a storage commitment report passed that cannot be read; nothing is recorded of it",
        "report it to the maker of that side",
    )
    COMMITMENT_NOT_RECORDED = _row(
        563,
        Side.BOX,
        Level.ERROR,
        "a storage commitment report could not be recorded; its answer says 0110",
        "check the custody writer and its disk; the report comes again",
    )
    # 58x SOP Instance Status (PS3.15 A.1)
    STATUS_SET_NS = _row(
        580,
        Side.BOX,
        Level.INFO,
        "SOP Instance Status was set to NS: a leg is clear or outside the profile (PS3.15 A.1.1 f)",
        "nothing",
    )
    STATUS_TRANSFER_SYNTAX = _row(
        581,
        Side.PEER,
        Level.ERROR,
        "an instance came deflated or in a private transfer syntax, so its SOP Instance Status cannot be read; it was cut off",
        "let the sender propose an uncompressed or encapsulated transfer syntax of PS3.5",
    )
    STATUS_SIGNED = _row(
        582,
        Side.PEER,
        Level.ERROR,
        "SOP Instance Status must become NS and a digital signature covers it; the instance was cut off before its end",
        "send it over a TLS leg to a peer that conforms to A.1, or without that signature",
    )
    STATUS_UNREADABLE = _row(
        583,
        Side.PEER,
        Level.ERROR,
        "a data set cannot be read up to its SOP Instance Status; the instance was cut off before its end",
        "report the instance to the maker of the side that sent it",
    )
    # 6xx custody
    CUSTODY_STARTED = _row(601, Side.BOX, Level.INFO, "the custody writer serves", "nothing")
    CUSTODY_STOPPED = _row(602, Side.BOX, Level.INFO, "the custody writer has ended", "nothing")
    CUSTODY_YIELD = _row(603, Side.BOX, Level.INFO, "a new custody writer asked for the log; this one goes", "nothing")
    CUSTODY_TAKEOVER = _row(604, Side.BOX, Level.INFO, "another custody writer has the log; it is asked to go", "nothing")
    CUSTODY_WORKER_LOST = _row(
        605, Side.BOX, Level.WARN, "a worker went away; its open entries are closed with outcome unknown", "see why it died"
    )
    CUSTODY_UNCLAIMED = _row(
        606,
        Side.BOX,
        Level.WARN,
        "no worker came back for open entries; they are closed with outcome unknown",
        "look for the instances at the PACS",
    )
    CUSTODY_WRITE_FAILED = _row(
        607,
        Side.BOX,
        Level.ERROR,
        "a custody record could not be written; whoever waits for it is told so",
        "check the disk: space, health",
    )
    CUSTODY_REPAIRED = _row(
        608,
        Side.BOX,
        Level.WARN,
        "the log was read back from the disk after a failed write and goes on in a new file",
        "check the health of the disk",
    )
    CUSTODY_TORN_TAIL = _row(
        609, Side.BOX, Level.INFO, "a write cut off by a crash was dropped; nobody had been told that it was durable", "nothing"
    )
    CUSTODY_DAMAGED = _row(
        610,
        Side.BOX,
        Level.ERROR,
        "the custody log contradicts what was acknowledged; the writer refuses it and changes nothing",
        "keep the directory as evidence, begin a new log, find the cause",
    )
    CUSTODY_WAL_MISSING = _row(
        611,
        Side.BOX,
        Level.WARN,
        "the log has a checkpoint but no write-ahead file; records not yet signed may be gone",
        "find who removed it",
    )
    CUSTODY_SEAL_FAILED = _row(
        612,
        Side.BOX,
        Level.WARN,
        "no checkpoint could be made; records are durable but not signed, and it is tried again",
        "check space and the signing key",
    )
    CUSTODY_CONTRADICTION = _row(
        613,
        Side.BOX,
        Level.ERROR,
        "the tiles do not agree with the last checkpoint; nothing more is signed",
        "keep the directory as evidence, run wardtool custody verify",
    )
    CUSTODY_LOCKED = _row(614, Side.BOX, Level.ERROR, "the log directory cannot be locked", "stop the other custody writer")
    CUSTODY_CANNOT_START = _row(615, Side.BOX, Level.ERROR, "the custody writer cannot begin", "read the detail: directory, key, space")
    CUSTODY_NOT_DURABLE = _row(
        616,
        Side.BOX,
        Level.WARN,
        "custody records are not synced before the response: a power cut loses the last ones",
        "set durable to group",
    )
    CUSTODY_STRANGER = _row(
        617,
        Side.BOX,
        Level.ERROR,
        "a process of another user, or one too many, called the custody writer and was turned away",
        "find that process",
    )
    CUSTODY_WIRE = _row(
        618,
        Side.BOX,
        Level.ERROR,
        "a packet to the custody writer is malformed; the connection is dropped",
        "report it: a defect of the worker",
    )
    # Custody: witnesses, retention, export
    WITNESS_COSIGNED = _row(640, Side.BOX, Level.INFO, "a witness signed the newest checkpoint", "nothing")
    WITNESS_UNREACHABLE = _row(
        641, Side.PEER, Level.WARN, "a witness cannot be reached; it is asked again", "check the network, custody.witness and its anchors"
    )
    WITNESS_REFUSED = _row(642, Side.PEER, Level.ERROR, "a witness did not sign the checkpoint", "read the detail: does it know the key?")
    WITNESS_ROLLED_BACK = _row(
        643,
        Side.BOX,
        Level.ERROR,
        "a witness has signed more records than the log holds: the log was rolled back or cut",
        "keep the directory as evidence, find who put back an old copy",
    )
    WITNESS_FORKED = _row(
        644,
        Side.BOX,
        Level.ERROR,
        "a witness says that the log does not continue what it signed before",
        "keep the directory as evidence, run wardtool custody verify with a kept checkpoint",
    )
    WITNESS_NO_CHECKPOINT = _row(
        645, Side.BOX, Level.ERROR, "the checkpoint cannot be shown to witnesses", "run wardtool custody verify on the log"
    )
    WITNESS_NOT_KEPT = _row(646, Side.BOX, Level.WARN, "what a witness signed cannot be kept", "check space under custody.log")
    CUSTODY_CAUGHT_UP = _row(
        619,
        Side.BOX,
        Level.WARN,
        "records that instances in hold carried were missing in the log after a crash; they are in it now",
        "nothing; find why the box or a worker ended",
    )
    CUSTODY_CANNOT_CATCH_UP = _row(
        647,
        Side.BOX,
        Level.ERROR,
        "what instances in hold carry for the log cannot be read or put into it; their associations stay open, and it is tried again",
        "look at the disk of the queue and of the log",
    )
    CUSTODY_PRUNED = _row(650, Side.BOX, Level.INFO, "old records were pruned as configured; their hashes stay", "nothing")
    CUSTODY_PRUNE_FAILED = _row(
        651, Side.BOX, Level.WARN, "old records could not be pruned; it is tried again", "read the detail: writer, space, rights"
    )
    CUSTODY_PRUNE_WAITS = _row(
        652, Side.BOX, Level.INFO, "a tombstone waits to be signed before records go", "nothing; see that checkpoints are made"
    )
    CUSTODY_PRUNE_CLOCK = _row(
        654, Side.BOX, Level.WARN, "the clock is not synchronised: nothing is pruned by age", "see that the box reaches its time server"
    )
    COMMITMENT_TAKEN = _row(
        655, Side.BOX, Level.INFO, "a storage commitment message is on the disk and was answered; what it means follows", "nothing"
    )
    COMMITMENT_ASKED = _row(656, Side.BOX, Level.INFO, "the destination was asked for storage commitment of what was forwarded", "nothing")
    COMMITMENT_TOLD = _row(657, Side.BOX, Level.INFO, "the modality was told what is committed", "nothing")
    COMMITMENT_NOT_DONE = _row(
        658,
        Side.HOSPITAL,
        Level.WARN,
        "the destination does not do storage commitment: nothing can be claimed of what it was sent",
        'switch it on there, or set commitment = "stored" or "off" for that peer',
    )
    COMMITMENT_UNASKED = _row(
        659,
        Side.HOSPITAL,
        Level.WARN,
        "the destination reports storage commitment that the box did not ask for; it is not believed",
        "look whether it mixes up its callers",
    )
    COMMITMENT_LATE = _row(
        660,
        Side.HOSPITAL,
        Level.WARN,
        "no storage commitment report, or none to be had, for a transaction; it is asked again, three times in all",
        "look why the destination does not report: it must be able to call the box (directions, listen)",
    )
    COMMITMENT_NOT_HEARD = _row(
        661,
        Side.MODALITY,
        Level.WARN,
        "the modality does not take a storage commitment report; it is tried again",
        "look whether it listens for reports where link.modality.connect says",
    )
    COMMITMENT_JOURNAL = _row(
        662,
        Side.BOX,
        Level.ERROR,
        "the journal of storage commitment is damaged or cannot be written; nothing new is claimed meanwhile",
        "check space and health of the disk under hold.directory",
    )
    COMMITMENT_NOT_TAKEN = _row(
        663,
        Side.BOX,
        Level.ERROR,
        "a storage commitment message could not be kept; it was answered with a failure",
        "check space and health of the disk under hold.directory",
    )
    ORIGINAL_WAITS = _row(
        664,
        Side.BOX,
        Level.INFO,
        "an original waits for its authorization (PS3.15 A.1.1 b), or for its sender to ask for its commitment (d)",
        "wardgate hold list says which; wardgate custody authorize",
    )
    ORIGINAL_AUTHORIZED = _row(665, Side.BOX, Level.INFO, "a person authorized an original: it is AO now (PS3.15 A.1.1 b)", "nothing")
    ORIGINAL_TRANSFERRED = _row(
        666, Side.BOX, Level.INFO, "another entity has committed an original and is its holder now (PS3.15 A.1.1 d)", "nothing"
    )
    ORIGINAL_NOT_AUTHORIZED = _row(
        667,
        Side.BOX,
        Level.ERROR,
        "an authorization was refused: signature, person, statement or instance is not right",
        "read the detail; ask for a new statement and sign it",
    )
    ORIGINAL_STAYS = _row(
        668,
        Side.BOX,
        Level.ERROR,
        "an original is not deleted by its holder (PS3.15 A.1.1 c)",
        "transfer it (wardgate hold retry) to a peer that conforms",
    )
    STATUS_SET = _row(669, Side.BOX, Level.INFO, "SOP Instance Status was set in an instance that left the queue (PS3.15 A.1.1)", "nothing")
    CUSTODY_EXPORT_FAILED = _row(653, Side.BOX, Level.ERROR, "the custody log could not be exported", "read the detail")
    # 7xx keys and tokens (700-739: the key service, hsm/wardkeys)
    KEYS_STARTED = _row(700, Side.BOX, Level.INFO, "the key service listens", "nothing")
    KEYS_STOPPING = _row(701, Side.BOX, Level.INFO, "the key service was told to stop", "nothing")
    KEYS_RELOADED = _row(702, Side.BOX, Level.INFO, "the key service was told to look at its PIN files again", "nothing")
    KEYS_TOKEN_PRESENT = _row(703, Side.BOX, Level.INFO, "a token is there and ready", "nothing")
    KEYS_TOKEN_ABSENT = _row(704, Side.BOX, Level.WARN, "a token is not there", "insert it")
    KEYS_TOKEN_WRONG = _row(
        705, Side.BOX, Level.ERROR, "another token than the one asked for is there; it is not used", "insert the one named"
    )
    KEYS_TOKEN_BLOCKED = _row(
        706,
        Side.BOX,
        Level.ERROR,
        "the token's PIN is blocked; the token cannot be used",
        "unblock it with its PUK or security officer's PIN",
    )
    KEYS_PIN_REFUSED = _row(
        707,
        Side.BOX,
        Level.ERROR,
        "the token refused the PIN; it is not tried again",
        "write the right PIN to the PIN file, then reload the key service (SIGHUP)",
    )
    KEYS_TOKEN_FAILED = _row(
        708,
        Side.BOX,
        Level.ERROR,
        "the token, its reader or its module does not work",
        "read the detail; take the token out and put it back",
    )
    KEYS_NO_TOKEN = _row(
        709, Side.BOX, Level.ERROR, "a key URI names no token of the key service", "mend the URI, or add the token to keys.toml"
    )
    KEYS_NO_KEY = _row(
        710, Side.BOX, Level.ERROR, "the token has no such key or certificate", "mend the URI, or put the object on the token"
    )
    KEYS_AMBIGUOUS = _row(711, Side.BOX, Level.ERROR, "a key URI fits more than one token or object", "add id, object or serial to the URI")
    KEYS_URI = _row(712, Side.BOX, Level.ERROR, "not a PKCS#11 URI that is taken here (RFC 7512)", "mend it as the detail says")
    KEYS_SCHEME = _row(
        713,
        Side.BOX,
        Level.ERROR,
        "the key cannot make that kind of signature, or agree on a key",
        "ask for a scheme of the key's type and an allowed size",
    )
    KEYS_DIGEST = _row(
        714, Side.BOX, Level.ERROR, "digest or point does not have the length of its scheme", "report it: a defect of the caller"
    )
    KEYS_QUEUE_FULL = _row(
        715, Side.BOX, Level.WARN, "too many requests wait for a token; this one was refused", "wait; if it stays, the token is too slow"
    )
    KEYS_TIMEOUT = _row(716, Side.BOX, Level.ERROR, "the token did not answer in time", "look at the token's state and load")
    KEYS_WIRE = _row(717, Side.BOX, Level.ERROR, "a packet to or from the key service is malformed", "report it: a defect of the sender")
    KEYS_STRANGER = _row(
        718,
        Side.BOX,
        Level.ERROR,
        "a process of a user who may not use keys called the key service",
        "add it to allow_users, or find that process",
    )
    KEYS_CROWDED = _row(719, Side.BOX, Level.WARN, "the key service has too many connections; one was refused", "find who keeps them open")
    KEYS_UNREACHABLE = _row(720, Side.BOX, Level.ERROR, "the key service does not answer", "start it; check the path of its socket")
    KEYS_MODULE = _row(721, Side.BOX, Level.ERROR, "a PKCS#11 module cannot be loaded", "check its path and what it needs")
    KEYS_PIN_FILE = _row(
        722, Side.BOX, Level.ERROR, "a PIN file cannot be used", "mend it as the detail says, then reload the key service (SIGHUP)"
    )
    KEYS_PIN_LOW = _row(723, Side.BOX, Level.WARN, "the token has few tries of the PIN left", "check the PIN before the next try")
    KEYS_HARDENING = _row(
        724, Side.BOX, Level.WARN, "a protection of the key service's process could not be had", "give it the right that the detail names"
    )
    KEYS_EXTRACTABLE = _row(
        725,
        Side.BOX,
        Level.ERROR,
        "the key could be read out of its token, so it is not used",
        "make a new key in the token, or set unsafe_allow_extractable",
    )
    KEYS_TOKEN_REFUSED = _row(
        726,
        Side.BOX,
        Level.ERROR,
        "the token refused the operation",
        "read the detail: the key does not permit it, or the token cannot do it",
    )
    KEYS_UNKNOWN_OPERATION = _row(
        727, Side.BOX, Level.ERROR, "the key service does not know that request", "install key service and caller of one version"
    )
    KEYS_ISCL_CHALLENGE = _row(
        728,
        Side.PEER,
        Level.ERROR,
        "an ISCL challenge that was not given here, or was used before",
        "nothing; if it repeats, find who replays",
    )
    KEYS_ISCL_REFUSED = _row(
        729, Side.PEER, Level.ERROR, "an ISCL peer does not have the key: its answer is wrong", "put the same key pair on both sides"
    )
    KEYS_ISCL_REFLECTED = _row(
        730, Side.PEER, Level.ERROR, "an ISCL challenge or token came back to its sender", "find who reflects messages"
    )
    KEYS_ISCL_WEAK = _row(731, Side.BOX, Level.WARN, "an ISCL session key came out weak", "nothing: the sender draws another random number")
    KEYS_ISCL_EQUAL = _row(
        732,
        Side.BOX,
        Level.ERROR,
        "both keys of an ISCL pair are equal",
        "use two keys, or set unsafe_allow_equal_iscl_keys in a laboratory",
    )
    KEYS_NOT_GRANTED = _row(
        733,
        Side.BOX,
        Level.ERROR,
        "this user may not use that key for that",
        "grant it in a [[user]] of keys.toml, or find out why it was asked for",
    )
    # 740-759 tokens: what the box does about the state of a token (decision 021)
    TOKEN_IS_ABSENT = _row(740, Side.BOX, Level.ERROR, "the token that holds the key is not there", "put the card back")
    TOKEN_IS_ANOTHER = _row(
        741, Side.BOX, Level.ERROR, "another token is there than the one that the configuration names", "insert the card of this site"
    )
    TOKEN_IS_SWAPPED = _row(
        742,
        Side.BOX,
        Level.ERROR,
        "a token of the right name but with another serial number took the place of the one in use",
        "put the first card back, or reload the configuration to take the new one",
    )
    TOKEN_HAS_EXPIRED = _row(
        743, Side.BOX, Level.ERROR, "the certificate of the key in the token is not within its time", "enrol the card again, then reload"
    )
    TOKEN_IS_BLOCKED = _row(
        744, Side.BOX, Level.ERROR, "the token is blocked: no PIN tries are left", "unblock it with its PUK, or replace it"
    )
    TOKEN_PIN_IS_REFUSED = _row(
        745, Side.BOX, Level.ERROR, "the token refused its PIN; it is not tried again", "mend the PIN file, then reinsert the card"
    )
    TOKEN_HAS_FAILED = _row(
        746, Side.BOX, Level.ERROR, "the token or its module fails", "see the log of the key service; reinsert the card"
    )
    KEY_SERVICE_IS_AWAY = _row(
        747, Side.BOX, Level.ERROR, "the key service does not answer, so no key in a token can be used", "start wardkeys; see its log"
    )
    TOKEN_IS_BACK = _row(748, Side.BOX, Level.INFO, "the token is there and can be used", "nothing")
    TOKEN_CUT = _row(
        749, Side.BOX, Level.WARN, "a running association was cut because its token went", 'set keys.on_removal = "finish" to let them end'
    )
    TOKEN_KEY_DIFFERS = _row(
        750, Side.BOX, Level.ERROR, "the token has another key than the one that the custody log belongs to", "insert the card of this log"
    )
    CUSTODY_UNSIGNED = _row(
        751, Side.BOX, Level.WARN, "the custody log goes on without signatures until its token is back", "put the card back"
    )
    CUSTODY_SIGNED_AGAIN = _row(752, Side.BOX, Level.INFO, "the custody log is signed again", "nothing")
    CUSTODY_UNSIGNED_FULL = _row(
        753,
        Side.BOX,
        Level.ERROR,
        "as many custody records are unsigned as custody.unsigned_records allows; no new ones are taken",
        "put the card back",
    )
    # 770-789: cards (wardkeys.pcsc, wardkeys.card, wardtool card)
    CARD_NO_SERVICE = _row(
        770, Side.BOX, Level.ERROR, "the PC/SC service does not answer", "start pcscd; look whether this account may use it"
    )
    CARD_NO_READER = _row(
        771, Side.BOX, Level.ERROR, "no card reader, or not the one named", "plug the reader in; wardtool card list shows the names"
    )
    CARD_ABSENT = _row(772, Side.BOX, Level.ERROR, "no card in the reader", "insert it")
    CARD_REMOVED = _row(
        773, Side.BOX, Level.ERROR, "the card was taken out while it was used", "insert it again, then repeat what was not finished"
    )
    CARD_BUSY = _row(774, Side.BOX, Level.ERROR, "another program keeps the card to itself", "end that program")
    CARD_READER_FAILED = _row(775, Side.BOX, Level.ERROR, "the reader or its driver failed", "read the detail; plug the reader out and in")
    CARD_NO_APPLICATION = _row(776, Side.BOX, Level.ERROR, "the card does not have that application", "use a card that has it")
    CARD_PIN_WRONG = _row(
        777, Side.BOX, Level.ERROR, "the PIN or PUK is wrong", "make sure of it before the next try; none is made by itself"
    )
    CARD_BLOCKED = _row(
        778,
        Side.BOX,
        Level.ERROR,
        "the PIN or PUK is blocked",
        "unblock the PIN with the PUK; with both blocked only wardtool card init is left",
    )
    CARD_NOT_AUTHORISED = _row(779, Side.BOX, Level.ERROR, "the card wants the PIN or the management key first", "give it")
    CARD_ADMIN_REFUSED = _row(
        780, Side.BOX, Level.ERROR, "card and management key do not belong together", "give the card's own management key"
    )
    CARD_EMPTY = _row(781, Side.BOX, Level.ERROR, "the card has no such key or object", "make, load or write it first")
    CARD_CANNOT = _row(782, Side.BOX, Level.ERROR, "the card does not know that command", "use a card that does")
    CARD_REFUSED = _row(783, Side.BOX, Level.ERROR, "the card refused the command", "look the status word up in docs/card.md")
    CARD_ANSWER = _row(784, Side.BOX, Level.ERROR, "an answer of the card is malformed", "use another card; report it with the detail")
    CARD_INPUT = _row(785, Side.BOX, Level.ERROR, "a value for the card cannot be used", "mend it as the detail says")
    CARD_MISMATCH = _row(
        786, Side.BOX, Level.ERROR, "certificate and key do not belong together", "ask for a certificate with the request of this key"
    )
    CARD_PEER_REFUSED = _row(
        787,
        Side.PEER,
        Level.ERROR,
        "an ISCL peer does not have the key: the card refused its answer",
        "put the same key pair on both sides",
    )
    CARD_KEY_BLOCKED = _row(
        788,
        Side.BOX,
        Level.ERROR,
        "an ISCL key is blocked after too many wrong answers",
        "find who gave them; wardtool card iscl-key --unblock",
    )
    CARD_WEAK_KEY = _row(789, Side.BOX, Level.WARN, "an ISCL session key came out weak", "nothing: the sender draws another random number")

    # 7xx keys and tokens (760-769: TLS with keys in a token)
    KEY_SERVICE_UNREACHABLE = _row(
        761,
        Side.BOX,
        Level.ERROR,
        "no signature for a handshake: the key service cannot be reached",
        "start it; check keys.socket and that the gateway's account may use it",
    )
    KEY_SIGN_TIMEOUT = _row(
        762,
        Side.BOX,
        Level.ERROR,
        "no signature for a handshake within keys.sign_seconds",
        "look at the token's state and queue; raise keys.sign_seconds for a slow card",
    )
    KEY_SERVICE_BROKE = _row(
        763,
        Side.BOX,
        Level.ERROR,
        "no signature for a handshake: the key service broke off or gave no valid answer",
        "look at the key service's log of this moment",
    )
    KEY_NOT_OF_CERTIFICATE = _row(
        764,
        Side.BOX,
        Level.ERROR,
        "the key in the token is not the one of the certificate",
        "put the right token in, or name the chain that belongs to its key",
    )
    KEY_SCHEME = _row(
        765,
        Side.PEER,
        Level.ERROR,
        "the handshake wants a kind of signature that keys in a token do not make (ECDSA, RSA, RSA-PSS with SHA-256 or better)",
        "update the peer",
    )
    KEY_MODULE_MISSING = _row(
        766,
        Side.BOX,
        Level.ERROR,
        "the OpenSSL module for keys in a token (wardkeys.so) is missing or cannot be loaded",
        "install it (docs/runtime.md); in the tree: make provider",
    )
    KEY_SERVICE_REFUSED = _row(
        767,
        Side.BOX,
        Level.ERROR,
        "the key service refused a signature for a handshake, with a code that this version does not know",
        "install gateway and key service of one version",
    )
    KEY_KIND = _row(
        768,
        Side.BOX,
        Level.ERROR,
        "the key in the token is not of a kind that serves here",
        "custody: ECDSA P-256 or Ed25519; TLS: RSA from 2048 bits, ECDSA P-256 or P-384",
    )
    KEYS_NOT_CHECKED = _row(
        769,
        Side.BOX,
        Level.WARN,
        "the key service did not answer: whether a key is there and fits its certificate was not checked",
        "insert the token, start the key service, check again",
    )
    # 8xx ISCL: the legacy channel; provider reasons 0x10 to 0x15 are in docs/iscl.md
    ISCL_MAC_FAILURE = _row(
        800,
        Side.NETWORK,
        Level.ERROR,
        "ISCL integrity failure: the MAC does not fit; the connection is dropped, nothing more is sent on it (provider reason 0x10)",
        "look for a fault or an intruder on the network between; compare the MAC settings of both sides",
    )
    ISCL_DECRYPT_FAILURE = _row(
        801,
        Side.NETWORK,
        Level.ERROR,
        "ISCL decrypt failure: the padding is wrong; the connection is dropped, nothing more is sent on it (provider reason 0x11)",
        "look for a fault or an intruder on the network between; compare keys, padding and IV settings of both sides",
    )
    ISCL_AUTHENTICATION_FAILURE = _row(
        802,
        Side.PEER,
        Level.ERROR,
        "ISCL authentication failed: the peer is not who it should be, or it found our response wrong (provider reason 0x12)",
        "compare names, slot and keys of both sides",
    )
    ISCL_FRAMING_ERROR = _row(
        803,
        Side.PEER,
        Level.ERROR,
        "the peer broke the ISCL framing, or its settings differ from ours (provider reason 0x13)",
        "read the detail; wardtool iscl decode shows which reconstruction a capture fits",
    )
    ISCL_TIMEOUT = _row(804, Side.PEER, Level.ERROR, "ISCL: the peer did not answer in time (provider reason 0x14)", "look at the peer")
    ISCL_CARD_ERROR = _row(
        805, Side.PEER, Level.ERROR, "ISCL: a card or token failed, here or at the peer (provider reason 0x15)", "read the detail"
    )
    ISCL_IN_USE = _row(
        806,
        Side.BOX,
        Level.WARN,
        "a legacy ISCL-style channel is on (reconstruction profile R1, unsafe_allow_des or an extension suite)",
        "laboratory or migration only, never on an uncontrolled network; move the peer to TLS",
    )
    ISCL_TRUNCATED = _row(
        807,
        Side.PEER,
        Level.WARN,
        "the connection ended without the ISCL disconnection",
        "nothing when it was after the release; else look at the peer or the network",
    )
    ISCL_CLOSE_REFUSED = _row(808, Side.PEER, Level.INFO, "the peer refuses to close; the connection was closed all the same", "nothing")
    ISCL_KEY_WORN = _row(
        809,
        Side.BOX,
        Level.WARN,
        "a static ISCL key has protected 2^20 cipher blocks on one connection (NIST SP 800-67r2 bound)",
        "use key ID 0x10, a key for each message",
    )
    ISCL_ENDED_IN_HANDSHAKE = _row(
        810,
        Side.PEER,
        Level.ERROR,
        "the peer closed the connection before the ISCL authentication was done",
        "read the log of the peer: it did not say why",
    )
    ISCL_CIPHERS_MISSING = _row(
        811,
        Side.BOX,
        Level.ERROR,
        "a cipher that ISCL needs cannot be had from libcrypto (single DES is in its legacy provider)",
        "install the legacy provider of OpenSSL; it is loaded into a context of ISCL's own",
    )
    ISCL_CARRIER_ENDED = _row(
        815,
        Side.NETWORK,
        Level.ERROR,
        "the TLS connection around an ISCL channel was closed before ISCL took its leave (provider reason 0x13)",
        "look at the peer: what ends TLS there does not end ISCL first",
    )
    # 770-789: cards (wardkeys.pcsc, wardkeys.card, wardtool card)

    # 87x-89x hold
    HOLD_LOW_SPACE = _row(
        870,
        Side.BOX,
        Level.ERROR,
        "the queue has no room left: new instances are answered with A700",
        "bring the destination back, or give the queue more room (hold.max_bytes, hold.keep_free_bytes)",
    )
    HOLD_SPACE_AGAIN = _row(871, Side.BOX, Level.INFO, "the queue has room again", "nothing")
    HOLD_FIRST_CONTACT = _row(
        872,
        Side.BOX,
        Level.ERROR,
        "nothing is known of what the destination accepts: an association that would be held is refused",
        "let one association pass while the destination is up, or list hold_transfer_syntaxes for that peer",
    )
    HOLD_CONTEXT_UNKNOWN = _row(
        873,
        Side.BOX,
        Level.WARN,
        "presentation contexts were refused that the destination has not accepted before",
        "let one association pass while the destination is up, or list hold_transfer_syntaxes for that peer",
    )
    HOLD_BEGAN = _row(874, Side.BOX, Level.INFO, "association accepted by the box: its instances are held", "nothing")
    HOLD_WRITE_FAILED = _row(
        875, Side.BOX, Level.ERROR, "an instance could not be made durable; it was answered with A700", "check the disk: space, health"
    )
    HOLD_QUARANTINED = _row(
        876,
        Side.HOSPITAL,
        Level.ERROR,
        "the destination refused an instance for good; it is kept in quarantine",
        "read the status with wardgate hold list, mend the cause, then wardgate hold retry, export or release",
    )
    HOLD_DAMAGED = _row(
        877,
        Side.BOX,
        Level.ERROR,
        "a file of the queue does not verify; it is kept in quarantine and not sent",
        "find out who changed it, check the disk, send the instance again from its source",
    )
    HOLD_RETRY = _row(
        878, Side.HOSPITAL, Level.WARN, "held instances could not be forwarded; tried again after a pause", "bring the destination back"
    )
    HOLD_FORWARDED = _row(879, Side.BOX, Level.INFO, "held instances were forwarded", "nothing")
    HOLD_KEY = _row(
        880,
        Side.BOX,
        Level.ERROR,
        "the key of the queue cannot be used, or is not the one a file was written under",
        "check hold.key; bring the right key back",
    )
    HOLD_STARTED = _row(881, Side.BOX, Level.INFO, "the hold forwarder serves", "nothing")
    HOLD_STOPPED = _row(882, Side.BOX, Level.INFO, "the hold forwarder has ended", "nothing")
    HOLD_LOCKED = _row(883, Side.BOX, Level.WARN, "another hold forwarder still has the queue; waiting for it to go", "nothing")
    HOLD_RELEASED = _row(
        884, Side.BOX, Level.WARN, "a person released an instance: the box gave it up and removed it", "nothing, if that was intended"
    )
    HOLD_REQUEUED = _row(885, Side.BOX, Level.INFO, "a person put an instance back into the queue", "nothing")
    HOLD_SERVICE_REFUSED = _row(
        886,
        Side.PEER,
        Level.WARN,
        "a request that the box does not answer for the destination (only C-STORE and C-ECHO)",
        "nothing while the destination is away",
    )
    HOLD_UNREACHABLE = _row(887, Side.BOX, Level.ERROR, "no hold forwarder answers", "start the gateway; check delivery and hold")
    HOLD_LEFTOVER = _row(
        888, Side.BOX, Level.INFO, "unfinished files of the queue were removed; nobody had been told that they were stored", "nothing"
    )
    HOLD_NO_ROUTE = _row(
        889,
        Side.BOX,
        Level.ERROR,
        "the queue holds instances for a link or peer that the configuration does not have",
        "put the link or peer back, or export and release them",
    )
    HOLD_ACK_FAILED = _row(
        890,
        Side.BOX,
        Level.ERROR,
        "what became of an instance could not be written down; nothing more is sent until it is, and after a restart it may be sent again",
        "check the disk: space, health",
    )
    HOLD_FORWARDER_DIED = _row(
        891, Side.BOX, Level.ERROR, "the hold forwarder ended; it is started again", "report it with the log before it"
    )
    HOLD_RECOVERY = _row(
        892,
        Side.BOX,
        Level.ERROR,
        "a recovery key of the queue cannot be used, or is not one that an instance was wrapped to",
        "check hold.recovery; take the private key of one of its files",
    )
    HOLD_NO_RECOVERY = _row(
        893,
        Side.BOX,
        Level.WARN,
        "the queue has no recovery key: with the token lost, what is held is lost",
        "name one in hold.recovery, and keep its private key in a safe",
    )
    HOLD_KEEPS_ALL = _row(
        894,
        Side.BOX,
        Level.WARN,
        "the disk of the queue has less free than is to be kept free: every instance will be answered A700",
        "make hold.keep_free_bytes smaller, or the disk larger",
    )
    HOLD_LOG_BEHIND = _row(
        895,
        Side.BOX,
        Level.ERROR,
        "the record of an acknowledged instance is durable with it, but the custody log does not take it; new instances are answered A700",
        "look at the custody writer and its disk; the record is tried again",
    )
    HOLD_LOG_UP = _row(896, Side.BOX, Level.INFO, "the custody log has taken what instances in hold carried", "nothing")
    HOLD_NO_RECORD = _row(
        897,
        Side.BOX,
        Level.ERROR,
        "an instance in hold has no record in the custody log, and its association is closed: it is in quarantine",
        "look what ended the association; wardgate hold retry sends it all the same",
    )
    HOLD_NOT_LOGGED = _row(
        898,
        Side.BOX,
        Level.WARN,
        "it is not known that the custody log has the record of this instance",
        "wait a moment, start the gateway if it does not run; --unlogged exports it all the same",
    )
    HOLD_NOT_OPENED = _row(
        899,
        Side.BOX,
        Level.ERROR,
        "an instance in hold could not be opened for want of descriptors or memory; it is tried again",
        "look at the memory of the box; report it when it comes again",
    )
    # 83x to 86x the plant: ports, rule set, netd, break-glass
    NETD_STARTED = _row(830, Side.BOX, Level.INFO, "netd is ready: the rules hold and the ports are up", "nothing")
    NETD_STOPPED = _row(831, Side.BOX, Level.INFO, "netd ended; bridge and rules stay as they are", "nothing")
    NETD_CANNOT_START = _row(
        832, Side.BOX, Level.ERROR, "netd cannot begin; the ports stay down", "read the detail: kernel, devices, rights, configuration"
    )
    NETD_INSTEAD = _row(833, Side.BOX, Level.INFO, "the kernel lacks something that has an equivalent, which is used", "nothing")
    PLANT_RULES_APPLIED = _row(834, Side.BOX, Level.INFO, "a new rule set holds", "nothing")
    PLANT_RULES_REFUSED = _row(
        835, Side.BOX, Level.ERROR, "a new rule set was refused before it was applied; the old one holds", "read the detail and report it"
    )
    PLANT_RULES_RESTORED = _row(
        836,
        Side.BOX,
        Level.WARN,
        "a new rule set was not confirmed in time and the one before was put back",
        "reach the box by its management address and run wardgate plant confirm, or mend the rules",
    )
    PLANT_MODALITY_LEARNED = _row(837, Side.MODALITY, Level.INFO, "the modality was seen on its port", "nothing")
    PLANT_MAC_CHANGED = _row(
        838,
        Side.MODALITY,
        Level.WARN,
        "another MAC address speaks on the modality's port",
        "check the cable; bind the MAC if it must not be",
    )
    PLANT_STRANGER = _row(
        839, Side.NETWORK, Level.WARN, "a station is where it may not be; its frames are dropped", "find it, or name its MAC address"
    )
    PLANT_NEXT_HOP = _row(840, Side.HOSPITAL, Level.INFO, "an address of the hospital side is behind another MAC address", "nothing")
    PLANT_REFUSED = _row(
        841,
        Side.NETWORK,
        Level.WARN,
        "policy names no such flow between the two ports; it is dropped (with enforce = false: passed)",
        "name it in plant.allow if it must pass",
    )
    PLANT_SPOOFED = _row(
        842, Side.NETWORK, Level.WARN, "frames in another's name were dropped", "find who sends them: wardgate plant status counts them"
    )
    PLANT_LINK_LOST = _row(
        843, Side.NETWORK, Level.WARN, "a port has lost its link; the other was taken down to show it", "check the cable"
    )
    PLANT_LINK_BACK = _row(844, Side.NETWORK, Level.INFO, "a port has its link again; the other was put up", "nothing")
    NETD_STRANGER = _row(
        845, Side.BOX, Level.ERROR, "a process of another user asked netd and was turned away", "find that process, or name its user"
    )
    NETD_REQUEST_REFUSED = _row(
        846,
        Side.BOX,
        Level.ERROR,
        "netd was asked for a socket that policy does not name",
        "reload netd after the configuration; else report it",
    )
    NETD_UNREACHABLE = _row(847, Side.BOX, Level.ERROR, "netd does not answer", "start it: python -m wardgate.plant.netd -c FILE")
    BREAK_GLASS_STARTED = _row(
        848, Side.BOX, Level.ERROR, "BREAK-GLASS: the addresses named for it are reached in clear", "mend what failed, then end it"
    )
    BREAK_GLASS_LASTS = _row(849, Side.BOX, Level.WARN, "BREAK-GLASS lasts", "wardgate break-glass end")
    BREAK_GLASS_ENDED = _row(850, Side.BOX, Level.WARN, "BREAK-GLASS has ended; policy holds again", "nothing")
    BREAK_GLASS_REFUSED = _row(
        851,
        Side.BOX,
        Level.ERROR,
        "break-glass was asked for and policy does not allow it",
        "set plant.break_glass.allow before it is needed",
    )
    NETD_DEFECT = _row(852, Side.BOX, Level.ERROR, "a defect in netd; the rules in the kernel go on", "report it with the line")
    BYPASS_NOT_KEPT = _row(
        854,
        Side.BOX,
        Level.ERROR,
        "a beginning or end of break-glass is not on disk; its record waits in memory and is lost if netd ends now",
        "make room or mend the disk below plant.state_dir",
    )
    BYPASS_RECORDED = _row(855, Side.BOX, Level.INFO, "a beginning or end of break-glass stands in the custody log", "nothing")
    BYPASS_WAITS = _row(
        856, Side.BOX, Level.WARN, "records of break-glass wait for the custody writer; they are kept", "mend the custody writer"
    )
    BREAK_GLASS_ACT_AWAY = _row(
        857, Side.BOX, Level.ERROR, "the button or card reader of break-glass cannot be watched", "read the detail; wardgate plant status"
    )
    BREAK_GLASS_NO_ACT = _row(
        858,
        Side.BOX,
        Level.ERROR,
        "break-glass was asked for by an act that policy does not name, or by whom it may not be started",
        "use the button or the card; plant.break_glass.acts names them",
    )
    NETD_NOT_NEEDED = _row(859, Side.BOX, Level.INFO, 'plant.ports is "none": netd has nothing to do and ends', "nothing")
    MANAGEMENT_NO_VERB = _row(
        860,
        Side.BOX,
        Level.WARN,
        "a keeper asked over the management address for what is not to be had there",
        "nothing; the log names the key",
    )
    PLANT_NO_NETD_SOCKET = _row(853, Side.BOX, Level.ERROR, "netd gave no socket for a leg", "read the detail; wardgate plant status")

    # 9xx updates and slots
    UPDATE_REFUSED = _row(
        900,
        Side.BOX,
        Level.ERROR,
        "RAUC refused the bundle, or could not install it",
        "read the detail; is it for this board, signed by the release key?",
    )
    UPDATE_OLDER = _row(
        901,
        Side.BOX,
        Level.ERROR,
        "the bundle is older than the version that runs",
        "install a newer one; there is no way back but the other slot",
    )
    UPDATE_NO_SLOT = _row(
        902,
        Side.BOX,
        Level.ERROR,
        "this system was not started from a slot, so it takes no update",
        "updates are for boxes made from an image",
    )
    UPDATE_ON_TRIAL = _row(
        903, Side.BOX, Level.ERROR, "the slot that runs is still on trial", "wait until it is marked good; wardgate update status"
    )
    UPDATE_INSTALLED = _row(
        904, Side.BOX, Level.INFO, "an update is in the other slot, on trial from the next start on", "start the box again"
    )
    UPDATE_GOOD = _row(905, Side.BOX, Level.INFO, "everything that worked before the update works; the slot is marked good", "nothing")
    UPDATE_BAD = _row(
        906,
        Side.BOX,
        Level.ERROR,
        "what worked before the update does not work; the box goes back to the other slot",
        "see what is missing; keep the version for its makers",
    )
    UPDATE_ROLLED_BACK = _row(
        907,
        Side.BOX,
        Level.ERROR,
        "an update was rolled back; the version before it runs",
        "see what was missing; install a mended release",
    )
    UPDATE_INTERRUPTED = _row(
        908, Side.BOX, Level.WARN, "the box went off while an update was written; nothing of it counts", "install it again"
    )
    UPDATE_NOT_RECORDED = _row(
        909,
        Side.BOX,
        Level.ERROR,
        "the custody log did not take the record of an update, and it could not be kept for later",
        "see why the writer does not answer; this line is the only trace",
    )
    UPDATE_UNPROVEN = _row(
        921,
        Side.BOX,
        Level.WARN,
        "the box served nobody before the update and serves nobody now; its slot stays and is judged again at the next start",
        "open the vault, or mend what keeps the gateway from starting; then start the box again",
    )
    UPDATE_KEPT = _row(
        918,
        Side.BOX,
        Level.WARN,
        "the custody log did not take the record of an update now; it is kept on the state partition until it does",
        "nothing, when the vault opens later; else see why the writer does not answer",
    )
    UPDATE_TRIAL_DAMAGED = _row(
        910,
        Side.BOX,
        Level.ERROR,
        "what is kept of a slot on trial cannot be read; only the gateway itself is asked for",
        "check the state partition",
    )
    UPDATE_FAILED = _row(911, Side.BOX, Level.ERROR, "the update could not be seen to", "read the detail; is RAUC's service there?")
    UPDATE_CONFIG = _row(
        912,
        Side.BOX,
        Level.ERROR,
        "the version that runs cannot read the configuration",
        "wardgate check; a slot on trial is rolled back for it",
    )
    UPDATE_STATUS_MALFORMED = _row(
        929,
        Side.BOX,
        Level.ERROR,
        "the gateway's status is malformed where the check of an update reads it; what it does not say counts as not there",
        "report it with the detail: a defect of the release that runs",
    )
    UPDATE_NO_WAY_BACK = _row(
        971,
        Side.BOX,
        Level.ERROR,
        "the new slot is bad and the other one does not start either; this one stays, so that the box can be mended",
        "mend what is missing, or install a release that does without it; the box has no slot to go back to",
    )
    UPDATE_NOT_MARKED = _row(
        913, Side.BOX, Level.ERROR, "the loader could not be told that a slot is bad", "nothing: its tries run out by themselves"
    )
    UPDATE_NOT_NEWER = _row(
        917,
        Side.BOX,
        Level.WARN,
        "what lies on the stick, or a server wants, runs already or was rolled back before; it is not installed",
        "pull the stick; to try a release again: wardgate update FILE",
    )
    UPDATE_LOG_WHOLE = _row(914, Side.BOX, Level.INFO, "after the update the whole custody log verifies", "nothing")
    UPDATE_LOG_DAMAGED = _row(
        915,
        Side.BOX,
        Level.ERROR,
        "after the update the custody log as a whole does not verify",
        "wardtool custody verify names the records; docs/custody.md",
    )
    UPDATE_LOG_NOT_CHECKED = _row(
        916, Side.BOX, Level.WARN, "after the update the whole custody log could not be checked", "wardgate custody export checks it too"
    )

    UPDATE_SERVER_AWAY = _row(
        926,
        Side.HOSPITAL,
        Level.WARN,
        "the update server could not be told how its update ended; it is tried again, and no other update is asked for before",
        "is the server there, its certificate of updates.anchors, the token this device's?",
    )
    UPDATE_SERVER_TOLD = _row(927, Side.BOX, Level.INFO, "the update server was told how its update ended", "nothing")
    UPDATE_TOKEN = _row(
        922,
        Side.BOX,
        Level.ERROR,
        "the device's token for the update server cannot be used",
        "put the token that the server shows for this device into the file",
    )
    UPDATE_RESTART = _row(923, Side.BOX, Level.INFO, "the box starts again into the update that a server brought", "nothing")
    UPDATE_RESTART_WAITS = _row(
        924, Side.BOX, Level.INFO, "an update that a server brought waits for the restart", "nothing; updates.restart_hours says when"
    )
    UPDATE_OWED_DAMAGED = _row(
        925,
        Side.BOX,
        Level.ERROR,
        "what the update server had still to be told cannot be read; it is not told",
        "check the state partition; the custody log has how the update ended",
    )

    # 93x-95x the box: processes that hang, state, vault, time
    PROCESS_HUNG = _row(
        930,
        Side.BOX,
        Level.ERROR,
        "a process did not answer for too long and is killed; another takes its place",
        "report it with the lines before",
    )
    STATE_NOT_SIGNED = _row(
        931, Side.BOX, Level.ERROR, "the state partition has no manifest", "sign it (wardtool state sign) and bring it to the box again"
    )
    STATE_SIGNATURE_WRONG = _row(
        932, Side.BOX, Level.ERROR, "the manifest of the state is not signed by a key of this image", "sign it with the provisioning key"
    )
    STATE_CHANGED = _row(
        933,
        Side.BOX,
        Level.ERROR,
        "the state is not what was signed",
        "find out who changed it; then sign what it should be (wardtool state sign)",
    )
    STATE_ROLLED_BACK = _row(
        934,
        Side.BOX,
        Level.ERROR,
        "the state is older than one that this box has seen",
        "bring the newest, or sign this one with a new number",
    )
    STATE_NO_ANCHOR = _row(
        935,
        Side.BOX,
        Level.WARN,
        "this image trusts no key for its state: whoever writes the disk writes the policy",
        "build the image with STATE_ANCHORS=FILE",
    )
    STATE_HOLDS = _row(936, Side.BOX, Level.INFO, "the state is as it was signed", "nothing")
    STATE_UNREADABLE = _row(
        937, Side.BOX, Level.ERROR, "the state cannot be read, or holds what it may not", "remove what is named, sign again"
    )
    STATE_MISSING = _row(
        928,
        Side.BOX,
        Level.ERROR,
        "the state partition is not mounted, so the box has no policy and serves nothing",
        "bring a state to the box: docs/first-boot.md, step 2",
    )
    STATE_REFUSED = _row(
        938, Side.BOX, Level.ERROR, "the state was refused, so nothing is served", "do what the code says that stands beside it"
    )
    KEPT_NO_ROOM = _row(
        939,
        Side.BOX,
        Level.ERROR,
        "an event could not be kept for the custody log",
        "let the vault open; the log then says how many are lost",
    )
    KEPT_RECORDED = _row(940, Side.BOX, Level.INFO, "an event that was kept stands in the custody log", "nothing")
    KEPT_NOT_RECORDED = _row(
        941, Side.BOX, Level.WARN, "what is kept for the custody log could not be given to it; tried again", "look at the custody writer"
    )
    CLOCK_BELOW_FLOOR = _row(
        942,
        Side.BOX,
        Level.ERROR,
        "the clock says a time that has passed for certain; certificates are judged by the later one",
        "set the clock (NTP), or replace its battery",
    )
    FLOOR_RAISED = _row(943, Side.BOX, Level.INFO, "the time floor was raised to a synchronised clock", "nothing")
    STATE_NUMBER_NOT_KEPT = _row(
        944, Side.BOX, Level.WARN, "the number of the state could not be kept: an older one would be taken", "look at the state partition"
    )
    VAULT_CLOSED = _row(
        945,
        Side.BOX,
        Level.ERROR,
        "the vault is closed, so nothing is forwarded",
        "insert the token; after a change of board or boot chain open it with the recovery key (docs/vault.md)",
    )
    VAULT_NOT_MADE = _row(946, Side.BOX, Level.ERROR, "there is no vault and none could be made", "do what the detail says; docs/vault.md")
    VAULT_POLICY_WRONG = _row(
        920,
        Side.BOX,
        Level.ERROR,
        "the policy of the vault, or the file of its token's PIN, has a mistake; the vault is neither made nor opened",
        "mend what is named and sign the state again; docs/vault.md has the words",
    )
    VAULT_LOST = _row(
        947,
        Side.BOX,
        Level.ERROR,
        "the vault that was made here is gone or is another one; none is made in its place",
        "find out what happened to the disk; docs/vault.md says how to begin again",
    )
    VAULT_MADE = _row(948, Side.BOX, Level.INFO, "the vault was made", "keep its recovery key")
    VAULT_PIN_REFUSED = _row(
        919,
        Side.BOX,
        Level.ERROR,
        "the token of the vault refused its PIN; it is put away and not tried again, so that the card is not blocked",
        "bring the right PIN (docs/vault.md, Token); the recovery key opens the vault meanwhile",
    )
    VAULT_OPENED = _row(949, Side.BOX, Level.INFO, "the vault is open", "nothing")

    # 95x the supervisor (docs/supervisor.md)
    SUPERVISOR_ANSWERS = _row(950, Side.BOX, Level.INFO, "the supervisor answers", "nothing")
    SUPERVISOR_AWAY = _row(
        951,
        Side.BOX,
        Level.WARN,
        "no supervisor answers: a box that hangs is reset by its own watchdog only",
        "look at the supervisor's cable and its green light",
    )
    SUPERVISOR_NOISE = _row(
        952,
        Side.BOX,
        Level.WARN,
        "what came on the supervisor's line is no frame of this version, and was left out",
        "is another program on the supervisor, or another device on its line?",
    )
    SUPERVISOR_RESET = _row(
        953,
        Side.BOX,
        Level.ERROR,
        "the supervisor has reset the box: it had not said that it was alive",
        "look in the lines before it why the box hung",
    )
    SUPERVISOR_WITHHELD = _row(
        954,
        Side.BOX,
        Level.ERROR,
        "the box was silent and the supervisor did not reset it: its resets of this hour were used up",
        "find out why the box hangs again and again",
    )
    BOX_NOT_WELL = _row(
        955,
        Side.BOX,
        Level.ERROR,
        "the service manager does not answer, so the supervisor is not told that the box is alive; it will reset the box",
        "look at the disk, and at what the box was busy with",
    )
    BOX_OPENED = _row(956, Side.BOX, Level.ERROR, "the tamper switch says that the box was opened", "look at the box, and who was there")
    BOX_SWITCH = _row(957, Side.BOX, Level.INFO, "a switch of the box changed", "nothing")
    BOX_BUTTON = _row(958, Side.BOX, Level.INFO, "the button of the box was held down", "nothing: break-glass has its own way")
    SUPERVISOR_EVENTS_LOST = _row(
        959, Side.BOX, Level.WARN, "the supervisor had no room for events while nobody took them", "look why its link was away"
    )

    # 96x, 97x audit (PS3.15 A.5 to A.7)
    AUDIT_STARTED = _row(960, Side.BOX, Level.INFO, "the audit sender serves", "nothing")
    AUDIT_SENDER_DIED = _row(
        961, Side.BOX, Level.ERROR, "the audit sender died; another takes its place", "report it with the lines above it"
    )
    AUDIT_CONNECTED = _row(962, Side.HOSPITAL, Level.INFO, "an audit repository is connected", "nothing")
    AUDIT_UNREACHABLE = _row(
        963,
        Side.HOSPITAL,
        Level.ERROR,
        "an audit repository cannot be reached, or broke off; its messages wait in the spool",
        "look at the repository and the network; the detail names the rule that failed",
    )
    AUDIT_DROPPED = _row(
        964,
        Side.BOX,
        Level.ERROR,
        "the audit spool is full: the oldest messages went before this repository had them",
        "bring the repository back, or raise audit.spool_mebibytes",
    )
    AUDIT_NOT_WRITTEN = _row(
        965,
        Side.BOX,
        Level.ERROR,
        "audit messages cannot be written to the spool; images go on, what happens is kept in memory as far as there is room",
        "look at the disk below audit.spool",
    )
    AUDIT_EVENTS_LOST = _row(
        966,
        Side.BOX,
        Level.ERROR,
        "audit events found no room while the audit sender did not take them, and are lost to the audit; the log has them",
        "look why the sender was away, in the lines above",
    )
    AUDIT_SPOOL_DAMAGED = _row(
        967, Side.BOX, Level.ERROR, "a part of the audit spool cannot be read; what stood in it is not sent", "look at the disk"
    )
    AUDIT_LOCKED = _row(968, Side.BOX, Level.WARN, "another audit sender has the spool; this one waits for it", "nothing, unless it stays")
    AUDIT_EVENT_REFUSED = _row(
        969, Side.BOX, Level.ERROR, "an audit event is malformed and is not sent", "report it: a defect of its emitter"
    )

    AUDIT_STRANGER = _row(
        970, Side.BOX, Level.ERROR, "a process of another user called the audit sender and was turned away", "find that process"
    )

    # 98x migrations
    MIGRATED = _row(
        980,
        Side.BOX,
        Level.INFO,
        "files of the box itself were brought to this release's format; those of before are kept",
        "nothing",
    )
    MIGRATION_FAILED = _row(
        981,
        Side.BOX,
        Level.ERROR,
        "the migration to this release's format failed; every file is as it was before, and nothing is served",
        "on trial nothing: the box goes back by itself; else read the detail, report it, install another release",
    )
    MIGRATION_PUT_BACK = _row(
        982,
        Side.BOX,
        Level.WARN,
        "files that a newer release had migrated are as they were before it; what it wrote into them since is lost",
        "nothing; see why the newer release was left",
    )
    MIGRATION_STUCK = _row(
        983,
        Side.BOX,
        Level.ERROR,
        "the box's own files have a format that this release does not know, or are in between, and cannot be put back; nothing is served",
        "install the newer release again (wardgate update FILE); docs/update.md",
    )
    MIGRATION_UNDONE = _row(
        984,
        Side.BOX,
        Level.WARN,
        "a migration was cut short; what it had changed was put back, and it begins again",
        "nothing, unless it returns",
    )
    MIGRATION_COPIES_DAMAGED = _row(
        985,
        Side.BOX,
        Level.WARN,
        "copies of files from before a migration are damaged; they are not needed now",
        "look at the disk; the way back to the release before is not open any more",
    )
    CONFIG_FORMAT = _row(
        986,
        Side.BOX,
        Level.ERROR,
        "the configuration is of a form that this release does not know, or is not of the form that it says",
        "mend the word `format` or what the detail names; a newer form wants a newer release",
    )
