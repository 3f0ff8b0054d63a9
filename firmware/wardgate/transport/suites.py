"""The TLS cipher suites that profiles speak of: registry code, IANA name, OpenSSL name.

Codes are compared, not names: `SSLContext.get_ciphers` reports them, and they are the same in every OpenSSL.
"""

from __future__ import annotations

from typing import Final

# TLS 1.3, in the order in which we want them.
TLS13: Final[dict[int, str]] = {
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1304: "TLS_AES_128_CCM_SHA256",
    0x1305: "TLS_AES_128_CCM_8_SHA256",
}

# TLS 1.2: (IANA name, OpenSSL name). OpenSSL has no Camellia-GCM; the name is what it would be called.
TLS12: Final[dict[int, tuple[str, str]]] = {
    0xC02C: ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    0xC030: ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    0xC0AD: ("TLS_ECDHE_ECDSA_WITH_AES_256_CCM", "ECDHE-ECDSA-AES256-CCM"),
    0xC0AF: ("TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", "ECDHE-ECDSA-AES256-CCM8"),
    0xCCA9: ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    0xCCA8: ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
    0xC02F: ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    0xC02B: ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    0xC0AC: ("TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "ECDHE-ECDSA-AES128-CCM"),
    0xC0AE: ("TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", "ECDHE-ECDSA-AES128-CCM8"),
    0xC087: ("TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_GCM_SHA384", "ECDHE-ECDSA-CAMELLIA256-GCM-SHA384"),
    0xC08B: ("TLS_ECDHE_RSA_WITH_CAMELLIA_256_GCM_SHA384", "ECDHE-RSA-CAMELLIA256-GCM-SHA384"),
    0xC086: ("TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_GCM_SHA256", "ECDHE-ECDSA-CAMELLIA128-GCM-SHA256"),
    0xC08A: ("TLS_ECDHE_RSA_WITH_CAMELLIA_128_GCM_SHA256", "ECDHE-RSA-CAMELLIA128-GCM-SHA256"),
    0x009F: ("TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE-RSA-AES256-GCM-SHA384"),
    0xC07D: ("TLS_DHE_RSA_WITH_CAMELLIA_256_GCM_SHA384", "DHE-RSA-CAMELLIA256-GCM-SHA384"),
    0xC09F: ("TLS_DHE_RSA_WITH_AES_256_CCM", "DHE-RSA-AES256-CCM"),
    0xC0A3: ("TLS_DHE_RSA_WITH_AES_256_CCM_8", "DHE-RSA-AES256-CCM8"),
    0xCCAA: ("TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE-RSA-CHACHA20-POLY1305"),
    0x009E: ("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "DHE-RSA-AES128-GCM-SHA256"),
    0xC07C: ("TLS_DHE_RSA_WITH_CAMELLIA_128_GCM_SHA256", "DHE-RSA-CAMELLIA128-GCM-SHA256"),
    0xC09E: ("TLS_DHE_RSA_WITH_AES_128_CCM", "DHE-RSA-AES128-CCM"),
    0xC0A2: ("TLS_DHE_RSA_WITH_AES_128_CCM_8", "DHE-RSA-AES128-CCM8"),
}

OPENSSL_NAMES: Final[dict[int, str]] = {**TLS13, **{code: names[1] for code, names in TLS12.items()}}
CODES: Final[dict[str, int]] = {name: code for code, name in OPENSSL_NAMES.items()}


def iana_name(code: int) -> str:
    """Return the registry name of `code`, or its hexadecimal form when no profile knows it."""
    if code in TLS13:
        return TLS13[code]
    return TLS12[code][0] if code in TLS12 else f"0x{code:04X}"


def iana_names(codes: frozenset[int]) -> str:
    """Return the registry names of `codes` in a fixed order, blank separated."""
    return " ".join(iana_name(code) for code in sorted(codes))
