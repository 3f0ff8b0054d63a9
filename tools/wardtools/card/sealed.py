"""Private keys in a card's slots as `cryptography` wants them for requests and certificates: they sign, and give nothing away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from wardkeys.card.piv import Piv, Slot
from wardkeys.card.publickey import PublicKey, algorithm_of, to_sign


def card_key(piv: Piv, slot: Slot, public: PublicKey, verify_pin: Callable[[], None]) -> CardEcKey | CardRsaKey:
    """Return the key of a slot. `verify_pin` is called before each signature (slot 9C wants it so)."""

    def sign(message: bytes) -> bytes:
        verify_pin()
        algorithm = algorithm_of(public)
        return piv.sign(slot, algorithm, to_sign(algorithm, message))

    return CardRsaKey(public, sign) if isinstance(public, rsa.RSAPublicKey) else CardEcKey(public, sign)


class _Sealed:
    """What a key in a card cannot do."""

    def _never(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a key in a card cannot be taken out")

    private_bytes = private_numbers = decrypt = exchange = __copy__ = __deepcopy__ = _never


class CardEcKey(_Sealed, ec.EllipticCurvePrivateKey):
    """An EC key in a card."""

    def __init__(self, public: ec.EllipticCurvePublicKey, sign: Callable[[bytes], bytes]) -> None:
        self._public, self._sign = public, sign

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """In bits."""
        return self._public.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign with the hash of the curve's size: the caller chooses it with `hash_for`."""
        return self._sign(bytes(data))


class CardRsaKey(_Sealed, rsa.RSAPrivateKey):
    """An RSA key in a card."""

    def __init__(self, public: rsa.RSAPublicKey, sign: Callable[[bytes], bytes]) -> None:
        self._public, self._sign = public, sign

    def public_key(self) -> rsa.RSAPublicKey:
        """The public key."""
        return self._public

    @property
    def key_size(self) -> int:
        """In bits."""
        return self._public.key_size

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        """Sign, PKCS#1 v1.5 with SHA-256."""
        return self._sign(bytes(data))
