"""The words of the configuration as data: type, bounds, default, meaning. `docs/configuration.md` is made from it."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple


class Kind(Enum):
    """What a value must look like; the text is how it is asked for in a mistake."""

    TEXT = "text"
    INTEGER = "a whole number"
    BOOLEAN = "true or false"
    CHOICE = "a choice"
    NAME = "a name of letters, digits, '-', '_' and '.'"
    ORIGIN = "a name without blanks and without '+'"
    PATH = "a path"
    ENDPOINT = "an endpoint, host:port or [v6]:port"
    NETWORK = "an IP address or network (CIDR)"
    AE_TITLE = 'an AE title of 1 to 16 characters without backslash and control characters, or "*"'
    KEY = "a path, or the pkcs11: URI of a key in a token"
    PATH_OR_TOKEN = "a path, or the pkcs11: URI of a token"  # noqa: S105
    SOP_CLASS = 'a SOP class UID, or "*"'
    FINGERPRINT = "a SHA-256 fingerprint, 64 hex digits"
    URL = "an http:// address"
    INTERFACE = "a network device, 1 to 15 characters"
    ADDRESS = "an IP address"
    CIDR = "an IP address with its prefix length, such as 192.0.2.9/24"
    MAC = "a MAC address, such as 02:00:5e:00:53:01"
    HOURS = "a time of the day, HH:MM-HH:MM"
    TABLE = "a table"


class Need(Enum):
    """Marks a word that has no default."""

    REQUIRED = "required"


class Word(NamedTuple):
    """One word of one table. `many`: an array, of at least `least` values. `table` names the table of a `Kind.TABLE`."""

    name: str
    kind: Kind
    default: Any
    meaning: str
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()
    many: bool = False
    least: int = 0
    table: str = ""


REQUIRED: Final = Need.REQUIRED
MAX_ITEMS: Final = 1024  # of any array


def _seconds(name: str, default: int, high: int, meaning: str) -> Word:
    return Word(name, Kind.INTEGER, default, f"{meaning}, seconds", 1, high)


_PARTY: Final = (
    Word("addresses", Kind.NETWORK, REQUIRED, "from where it may call", many=True, least=1),
    Word("listen", Kind.ENDPOINT, [], "where it calls the box", many=True),
    Word("connect", Kind.ENDPOINT, "", "where the box reaches it"),
    Word(
        "transport",
        Kind.CHOICE,
        REQUIRED,
        "what carries its legs, listening and connecting",
        choices=("plain", "tls", "iscl", "iscl-in-tls"),
    ),
    Word("tls", Kind.TABLE, None, 'how TLS is spoken; with `transport = "tls"` or `"iscl-in-tls"` only', table="tls"),
    Word("iscl", Kind.TABLE, None, 'the legacy ISCL-style channel; with `transport = "iscl"` or `"iscl-in-tls"` only', table="iscl"),
    Word(
        "sop_instance_status",
        Kind.CHOICE,
        "none",
        "`conforms`: it conforms to PS3.15 A.1; needs TLS with a certificate that is bound to it",
        choices=("none", "conforms"),
    ),
)

SCHEMA: Final[dict[str, tuple[Word, ...]]] = {
    "": (
        Word("box", Kind.TABLE, REQUIRED, "the box itself", table="box"),
        Word("custody", Kind.TABLE, REQUIRED, "the custody log", table="custody"),
        Word("keys", Kind.TABLE, {}, "the key service, for keys in a token", table="keys"),
        Word("limits", Kind.TABLE, {}, "bounds of everything that a peer could make grow or wait", table="limits"),
        Word("hold", Kind.TABLE, None, "the queue of links whose `delivery` holds", table="hold"),
        Word("audit", Kind.TABLE, None, "audit messages (PS3.15 A.5) and the repositories that get them", table="audit"),
        Word("updates", Kind.TABLE, None, "the server from which the box takes updates", table="updates"),
        Word("plant", Kind.TABLE, {}, "the two ports and what may pass them", table="plant"),
        Word("link", Kind.TABLE, REQUIRED, "one modality and the peers it may talk to", many=True, least=1, table="link"),
    ),
    "box": (
        Word("name", Kind.NAME, REQUIRED, "name in log lines and records"),
        Word("run_dir", Kind.PATH, "/run/wardgate", "directory of the sockets; made with mode 0700"),
        Word("workers", Kind.INTEGER, 0, "worker processes; 0: one a core", 0, 64),
        Word("hash_threads", Kind.INTEGER, 0, "0: SHA-256 in the loop; 1: big chunks beside it while a processor is there", 0, 1),
        Word("state", Kind.PATH, "/state", "the state partition: time floor, events kept for the log; need not be there"),
        _seconds("crl_refresh_seconds", 900, 86400, "time between fetches of CRLs from distribution points"),
        _seconds("trial_seconds", 300, 3600, "after an update, what worked before has so long to work again; else the box rolls back"),
    ),
    "custody": (
        Word("log", Kind.PATH, REQUIRED, "directory of the log"),
        Word(
            "socket",
            Kind.PATH,
            "",
            "where a custody writer with an account of its own takes records: `/run/wardgate-custody/custody.sock` in the image; without it"
            " the gateway starts one under its own account",
        ),
        Word("origin", Kind.ORIGIN, REQUIRED, "origin line of checkpoints and name of their key, such as `ward-ct1.example.org/custody`"),
        Word(
            "key",
            Kind.KEY,
            REQUIRED,
            "key that signs checkpoints: the URI of an ECDSA P-256 or Ed25519 key in a token, or (development) an Ed25519 file,"
            " PKCS#8 PEM, mode 0600",
        ),
        Word(
            "durable",
            Kind.CHOICE,
            "group",
            "`group`: a record is on disk (`fdatasync`) before the response passes; `none`: a power cut loses records",
            choices=("group", "none"),
        ),
        _seconds("checkpoint_seconds", 60, 3600, "longest time between a record and a signed checkpoint over it"),
        Word("checkpoint_records", Kind.INTEGER, 65536, "records after which a checkpoint is signed sooner", 1, 1_000_000),
        _seconds("witness_seconds", 60, 86400, "time between showings of the newest checkpoint to the witnesses"),
        Word("witness", Kind.TABLE, [], "a C2SP witness that signs checkpoints elsewhere", many=True, table="custody.witness"),
        Word("retention_days", Kind.INTEGER, 0, "records older than that are pruned (their hashes stay); 0: kept for ever", 0, 36500),
        Word("retention_mebibytes", Kind.INTEGER, 0, "the oldest records beyond that size are pruned; 0: no bound", 0, 1 << 24),
        Word(
            "unsigned_records",
            Kind.INTEGER,
            100_000,
            "records that may wait for a signature while the token is out; then no association and no instance is taken",
            1,
            10_000_000,
        ),
    ),
    "custody.witness": (
        Word("url", Kind.TEXT, REQUIRED, "its submission prefix, https://..."),
        Word("key", Kind.TEXT, REQUIRED, "its vkey, Ed25519 (type 0x04), as `wardtool witness init` prints it"),
        Word("anchors", Kind.PATH, REQUIRED, "trust anchor(s) of its HTTPS certificate, PEM"),
    ),
    "keys": (
        Word("socket", Kind.PATH, "/run/wardkeys/keys.sock", "socket of the key service"),
        Word(
            "on_removal",
            Kind.CHOICE,
            "finish",
            "what becomes of running associations when a token that they need is pulled; new ones are refused either way",
            choices=("finish", "cut"),
        ),
        _seconds("sign_seconds", 10, 60, "wait for one signature, in the queue of its token too; below limits.handshake_seconds"),
    ),
    "limits": (
        Word("connections_per_peer", Kind.INTEGER, 128, "open connections from one source address, all workers together", 1, 4096),
        Word("associations", Kind.INTEGER, 600, "associations at once, all workers together", 1, 10_000),
        Word(
            "openings_per_peer",
            Kind.INTEGER,
            16,
            "associations of a link that a worker opens with one called address at once; more wait for their turn, before they connect",
            1,
            10_000,
        ),
        Word("associate_bytes", Kind.INTEGER, 1 << 20, "length of an A-ASSOCIATE PDU, bytes", 4096, 16 << 20),
        Word("pdu_bytes", Kind.INTEGER, 128 << 20, "length of a P-DATA-TF PDU, bytes", 16384, (1 << 32) - 1),
        _seconds("connect_seconds", 10, 120, "TCP connection to a party"),
        _seconds("handshake_seconds", 20, 120, "TLS handshake; also the wait for one's turn to be opened"),
        _seconds("associate_seconds", 30, 300, "from accept to a whole A-ASSOCIATE-RQ, and from RQ to AC or RJ"),
        _seconds("idle_seconds", 600, 86400, "established association without a byte either way"),
        _seconds("release_seconds", 30, 300, "from A-RELEASE-RQ to A-RELEASE-RP, and for the close after it"),
        _seconds("drain_seconds", 300, 86400, "running associations after SIGTERM or reload"),
        _seconds("record_seconds", 10, 120, "wait for the custody writer"),
        Word("worker_mebibytes", Kind.INTEGER, 192, "memory of a worker, MiB, after which another takes its place", 32, 65536),
    ),
    "hold": (
        Word("directory", Kind.PATH, REQUIRED, "directory of the queue; made with mode 0700"),
        Word(
            "key",
            Kind.KEY,
            REQUIRED,
            "key that wraps the keys of the queue: an EC key that agrees, `pkcs11:token=...;object=...` (PIV: slot 9d), or (development)"
            " a file of 32 bytes, raw or as 64 hex digits, mode 0600",
        ),
        Word("unsafe_allow_file_key", Kind.BOOLEAN, False, "lets `key` be a file: who takes the disk with it can read what is held"),
        Word(
            "recovery",
            Kind.PATH,
            [],
            "certificates or public keys (PEM, P-256 or P-384) whose private keys are kept elsewhere: `wardgate hold export --recovery=KEY`"
            " reads with one what was held under a token that is lost; at most 4",
            many=True,
        ),
        Word("max_bytes", Kind.INTEGER, 0, "most that the queue may hold, bytes; 0: what the disk has", 0, 1 << 50),
        Word("keep_free_bytes", Kind.INTEGER, 1 << 30, "space that the queue leaves free on its disk, bytes", 1 << 20, 1 << 44),
        Word("associations_per_peer", Kind.INTEGER, 4, "associations at once to one peer", 1, 64),
        _seconds("retry_seconds", 300, 86400, "longest pause before a destination is tried again"),
        _seconds("commitment_seconds", 21600, 2592000, "wait for a destination's storage commitment report before it is asked again"),
        Word("attempts", Kind.INTEGER, 20, "sends that a destination may answer with a failure that could pass, then quarantine", 1, 1000),
    ),
    "link": (
        Word("name", Kind.NAME, REQUIRED, "name in log lines, records and status"),
        Word("enforce", Kind.BOOLEAN, True, "false: what policy would refuse is only logged. TLS and limits always hold"),
        Word("delivery", Kind.CHOICE, "relay", "how instances travel", choices=("relay", "hold", "relay-then-hold")),
        Word(
            "sop_instance_status",
            Kind.CHOICE,
            "pass",
            "`pass`: not looked at; `rule-f`: set to NS between parties of which one does not conform to PS3.15 A.1 (costs speed);"
            " `holder`: all rules of A.1, on a link that holds",
            choices=("pass", "rule-f", "holder"),
        ),
        Word(
            "creating_entity",
            Kind.BOOLEAN,
            False,
            "with `holder`: box and modality are one creating entity: what the modality sends becomes OR (rule a); all peers must conform",
        ),
        Word("equipment_certification", Kind.TEXT, "", "with `creating_entity`: certificate number of the equipment, (0100,0426)"),
        Word("originals_wait", Kind.BOOLEAN, False, "with originals: an OR waits for `wardgate custody authorize` (rule b)"),
        Word("authorizers", Kind.FINGERPRINT, [], "certificates of the persons who may authorize", many=True),
        Word("sop_classes", Kind.SOP_CLASS, REQUIRED, "abstract syntaxes allowed; Verification must be named too", many=True, least=1),
        Word(
            "directions",
            Kind.CHOICE,
            ["to-hospital"],
            "who may open associations",
            choices=("to-hospital", "to-modality"),
            many=True,
            least=1,
        ),
        Word("modality", Kind.TABLE, REQUIRED, "the modality", table="link.modality"),
        Word("peer", Kind.TABLE, REQUIRED, "one system on the hospital side", many=True, least=1, table="link.peer"),
    ),
    "link.modality": (
        Word("ae_titles", Kind.AE_TITLE, REQUIRED, 'its AE titles; "*": any', many=True, least=1),
        *_PARTY,
    ),
    "link.peer": (
        Word("name", Kind.NAME, REQUIRED, "name in log lines and status"),
        Word("ae_titles", Kind.AE_TITLE, REQUIRED, 'called AE titles by which the modality reaches it; "*": any other', many=True, least=1),
        *_PARTY,
        Word("unsafe_allow_clear_hospital", Kind.BOOLEAN, False, 'lets a peer have `transport = "plain"`'),
        Word(
            "hold_transfer_syntaxes",
            Kind.SOP_CLASS,
            [],
            "transfer syntaxes that it accepts for every storage SOP class of the link, for holding before it was ever seen",
            many=True,
        ),
        Word(
            "commitment",
            Kind.CHOICE,
            "destination",
            "on a link that holds, what the box may tell the modality to be committed: `destination`: what this peer has committed (the"
            " box asks it after forwarding); `stored`: what it has answered with success, for a peer without storage commitment",
            choices=("destination", "stored", "off"),
        ),
        Word(
            "after_transfer",
            Kind.CHOICE,
            "delete",
            "with `holder`: what becomes of an original that this peer has committed; `AC` keeps an authorized one as copy, others as NS",
            choices=("delete", "NS", "AC"),
        ),
    ),
    "tls": (
        Word("profile", Kind.TEXT, REQUIRED, "secure transport profile of PS3.15 Annex B: B.12, B.13; retired: B.9, B.10, B.11"),
        Word(
            "certificates", Kind.TABLE, REQUIRED, "the box's own certificates towards this party", many=True, least=1, table="certificate"
        ),
        Word("anchors", Kind.PATH, REQUIRED, "trust anchor(s) of this party, PEM"),
        Word("mutual", Kind.BOOLEAN, True, "the party must show a certificate when it calls"),
        Word("names", Kind.TEXT, [], "dNSName or iPAddress of its certificate; one must match", many=True),
        Word("fingerprints", Kind.FINGERPRINT, [], "its certificate must be one of these", many=True),
        Word("crls", Kind.PATH, [], "CRL files, PEM or DER", many=True),
        Word("crl_urls", Kind.URL, [], "distribution points fetched besides those that certificates name", many=True),
        Word(
            "crl_policy",
            Kind.CHOICE,
            "require",
            "`require`: a CRL of each issuer but the root's own must be there; `if-present`: only what is there counts",
            choices=("require", "if-present", "off"),
        ),
        Word("stale_crl", Kind.CHOICE, "refuse", "what a CRL past its nextUpdate is worth", choices=("refuse", "warn")),
        Word("session_resumption", Kind.BOOLEAN, True, "keep TLS sessions; certificates are judged again on each resumption"),
        Word("min_version", Kind.CHOICE, "1.2", "lowest TLS version", choices=("1.2", "1.3")),
        Word("unsafe_allow_retired_profile", Kind.BOOLEAN, False, "lets `profile` be B.9, B.10 or B.11"),
        Word("unsafe_allow_anonymous_peer", Kind.BOOLEAN, False, "lets `mutual` be false"),
        Word(
            "unsafe_allow_any_name",
            Kind.BOOLEAN,
            False,
            "lets `names` and `fingerprints` both be empty: any certificate of the anchor is taken",
        ),
    ),
    "certificate": (
        Word("chain", Kind.PATH, REQUIRED, "certificate chain, leaf first, PEM"),
        Word("key", Kind.KEY, REQUIRED, "its private key: `pkcs11:token=...;object=...`, or (development) a PEM file, mode 0600"),
    ),
    "iscl": (
        Word("name", Kind.TEXT, REQUIRED, "what the box calls itself (authentication data, 1 to 128 bytes)"),
        Word("peer_name", Kind.TEXT, REQUIRED, "what the party must call itself"),
        Word(
            "keys",
            Kind.PATH_OR_TOKEN,
            REQUIRED,
            "where the keys are: the URI of a token (`pkcs11:token=...`, keys iscl-auth-N-c2s and -s2c), or (laboratory) a file of mode"
            " 0600 with lines `auth-N-c2s HEX`",
        ),
        Word("slot", Kind.INTEGER, 1, "authentication key pair", 1, 8),
        Word(
            "method",
            Kind.CHOICE,
            "three-pass-four-way",
            "entity authentication; iso-9798-2 and iso-9798-4 are extensions of this project (AES keys aes-auth-N-c2s and -s2c)",
            choices=("three-pass-four-way", "iso-9798-2", "iso-9798-4"),
        ),
        Word(
            "encryption",
            Kind.CHOICE,
            "des-cbc",
            "privacy; 3des-cbc and aes- are extensions",
            choices=("none", "des-cbc", "3des-cbc", "aes-128-cbc", "aes-256-cbc", "aes-256-gcm"),
        ),
        Word(
            "mac",
            Kind.CHOICE,
            "md5",
            "integrity, always there; from `retail` on extensions",
            choices=("md5", "des-mac", "retail", "aes-cmac", "hmac-sha-256", "integrated"),
        ),
        Word("md5_order", Kind.CHOICE, "encrypt-digest", "order sent; both are taken", choices=("encrypt-digest", "encrypt-random")),
        Word("key_id", Kind.INTEGER, 16, "16: a key of its own for each message; 1 to 8: a static key (laboratory key file only)", 1, 16),
        Word("block_length", Kind.INTEGER, 8160, "communication block length offered, bytes", 64, 1 << 20),
        Word("max_message", Kind.INTEGER, 1 << 20, "longest message, bytes", 1024, 1 << 20),
        _seconds("block_seconds", 60, 3600, "wait for the next part of a message, or for the answer to ours"),
        _seconds("life_seconds", 3600, 86400, "age of a connection at which no further message begins"),
        Word("r1", Kind.TABLE, {}, "what this project decided because ISCL V1.00 is not public", table="iscl.r1"),
        Word("unsafe_allow_des", Kind.BOOLEAN, False, "lets anything rest on single DES or MD5"),
        Word("unsafe_allow_equal_keys", Kind.BOOLEAN, False, "lets both keys of a pair be equal (laboratory): responses can be reflected"),
    ),
    "iscl.r1": (
        Word("byte_order", Kind.CHOICE, "big", "of every integer", choices=("big", "little")),
        Word("swap_64bit", Kind.BOOLEAN, False, "challenges, responses and random numbers byte by byte in reverse"),
        Word("strict_zero", Kind.BOOLEAN, False, "header fields that are not used must be 0"),
        Word("option_place", Kind.CHOICE, "header", "where card results and the MD5 order travel", choices=("header", "body")),
        Word("version", Kind.INTEGER, 0x100, "version of the line check", 0, (1 << 32) - 1),
        Word("padding", Kind.CHOICE, "count", "of data and MAC", choices=("count", "iso-method-2", "zero")),
        Word("chain_mac", Kind.BOOLEAN, True, "the CBC register runs on over the MAC"),
        Word("chain_messages", Kind.BOOLEAN, True, "and over messages; false: zero at each"),
        Word("shared_register", Kind.BOOLEAN, False, "one register for both directions; needs `half_duplex`"),
        Word("half_duplex", Kind.BOOLEAN, False, "one message at a time; the TCP client goes first"),
        Word("order_sign", Kind.CHOICE, "option", "how the MD5 order is told", choices=("option", "try-both")),
        Word("order_b_as_message", Kind.BOOLEAN, True, "the digest of order B is encrypted when the message is"),
        Word(
            "des_mac_key",
            Kind.CHOICE,
            "message",
            "key of the DES-MAC: that of the message, or its variant (XOR F0), which closes the hole under des-cbc",
            choices=("message", "variant"),
        ),
        Word(
            "derivation",
            Kind.CHOICE,
            "encrypt",
            "what becomes of the random number; `clear`: it is the key (laboratory)",
            choices=("encrypt", "clear"),
        ),
        *(
            Word(
                f"master_to_{way}",
                Kind.INTEGER,
                0,
                f"what makes the keys of messages to the {way}: 0 the authentication key, with which the key of a recorded message can be"
                " had for a challenge; 1 to 8 an encryption slot (key `enc-N`), another one for each way",
                0,
                8,
            )
            for way in ("server", "client")
        ),
        Word("message_unit", Kind.CHOICE, "pdu", "what one message holds; `write` is faster between two boxes", choices=("pdu", "write")),
    ),
}

PROFILES: Final = ("B.12", "B.13")
RETIRED_PROFILES: Final = ("B.9", "B.10", "B.11")
# PS3.15 Annex B of older editions: named in old conformance statements, so people will try them.
REFUSED_PROFILES: Final = {
    "B.1": "B.1 (TLS 1.0 with 3DES or NULL encryption) is retired and broken",
    "B.2": 'B.2 (ISCL) is retired and not TLS; see transport = "iscl"',
    "B.3": "B.3 (TLS 1.0 with AES-128-CBC) is retired; TLS 1.0 is broken",
}
