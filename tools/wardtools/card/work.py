"""A card on the table: which reader, which applications, which keys are in which slots."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wardgate.codes import Code
from wardkeys.card.channel import Channel
from wardkeys.card.errors import CardError
from wardkeys.card.iscl import IsclCard
from wardkeys.card.piv import Algorithm, Piv, Slot
from wardkeys.card.publickey import PublicKey, algorithm_of, to_sign
from wardkeys.card.tlv import tlv
from wardkeys.pcsc import Pcsc, Reader

ALGORITHMS = {"p256": Algorithm.P256, "p384": Algorithm.P384, "rsa2048": Algorithm.RSA_2048, "rsa3072": Algorithm.RSA_3072}
SLOTS = {f"{slot:02x}": slot for slot in Slot}


class Work(NamedTuple):
    """A connected card with the PIV application selected."""

    reader: str
    channel: Channel
    piv: Piv
    # While a person reads or types nobody is kept from the card: it ends the transaction and begins another, with PIV selected.
    aside: Callable[[], AbstractContextManager[None]] = nullcontext

    def iscl(self) -> IsclCard:
        """Select the ISCL application. Raises `CardError`."""
        card = IsclCard(self.channel)
        card.select()
        return card

    def name(self) -> str:
        """Return what a person is asked to type for this card: its serial number, or the end of its reader's name without one."""
        try:
            return self.piv.guid()[8:].hex()
        except CardError:
            return self.reader.split()[0]

    def certificate(self, slot: Slot) -> x509.Certificate | None:
        """Return the certificate of a slot; None where there is none. Raises `CardError`."""
        found = self.piv.certificate(slot)
        if found is None:
            return None
        try:
            return x509.load_der_x509_certificate(found)
        except ValueError as error:
            raise CardError(Code.CARD_ANSWER, f"slot {slot:02x} holds something that is no certificate") from error

    def surely_empty(self, slot: Slot) -> bool:
        """Tell whether the card says that a slot has neither certificate nor key."""
        if self.piv.certificate(slot) is not None:
            return False
        for algorithm, size in ((Algorithm.P256, 32), (Algorithm.RSA_2048, 256)):
            template = tlv(0x7C, tlv(0x82), tlv(0x81, bytes(size)))
            if self.channel.exchange(0x87, algorithm, slot, template)[1] != 0x6A88:
                return False
        return True

    def proves(self, slot: Slot, public: PublicKey) -> bool:
        """Tell whether the key in a slot belongs to `public`: by a signature over random bytes, or by what it agrees on.

        Needs the PIN. Raises `CardError`.
        """
        curve_key = agreeing(slot, public)
        if curve_key is not None:
            return self._agrees(slot, curve_key)
        algorithm, message = algorithm_of(public), b"wardtool card proof " + os.urandom(32)
        try:
            signature = self.piv.sign(slot, algorithm, to_sign(algorithm, message))
        except CardError as error:
            if error.status in (0x6A86, 0x6A80):
                return False  # a key of another kind
            raise
        try:
            if isinstance(public, rsa.RSAPublicKey):
                public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            else:
                public.verify(signature, message, ec.ECDSA(hashes.SHA384() if algorithm is Algorithm.P384 else hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    def _agrees(self, slot: Slot, public: ec.EllipticCurvePublicKey) -> bool:
        pair = ec.generate_private_key(public.curve)
        point = pair.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        try:
            return self.piv.agree(slot, algorithm_of(public), point) == pair.exchange(ec.ECDH(), public)
        except CardError as error:
            if error.status in (0x6A86, 0x6A80):
                return False  # a key of another kind
            raise


def agreeing(slot: Slot, public: PublicKey) -> ec.EllipticCurvePublicKey | None:
    """Return a key that is for key agreement: one on a curve in slot 9d (key management, SP 800-73-4). It signs nothing."""
    return public if slot is Slot.KEY_MANAGEMENT and isinstance(public, ec.EllipticCurvePublicKey) else None


@contextmanager
def on_card(wanted: str) -> Iterator[Work]:
    """Connect to the card in the reader that has `wanted` in its name; without it to the only card there is. Raises `CardError`."""
    with Pcsc() as pcsc:
        reader = _choose(pcsc.look(), wanted)
        with pcsc.connect(reader) as connection, ExitStack() as transaction:
            channel = Channel(connection.transmit)
            piv = Piv(channel)

            def begin() -> None:
                transaction.enter_context(connection.transaction())
                piv.select()

            @contextmanager
            def aside() -> Iterator[None]:
                piv.select()
                name = work.name()
                transaction.close()
                yield
                begin()  # one that was swapped in meanwhile fails here, for the connection is to this card
                if work.name() != name:
                    raise CardError(Code.CARD_REMOVED, "another card is there")

            work = Work(reader, channel, piv, aside)
            begin()
            yield work


def _choose(readers: list[Reader], wanted: str) -> str:
    fitting = [reader for reader in readers if wanted in reader.name]
    if not fitting:
        raise CardError(Code.CARD_NO_READER, wanted)
    inside = [reader.name for reader in fitting if reader.present]
    if not inside:
        raise CardError(Code.CARD_ABSENT, wanted or f"{len(fitting)} readers, all empty")
    if len(inside) > 1:
        raise CardError(Code.CARD_INPUT, f"{len(inside)} cards are in; name one with --reader: {', '.join(inside)}")
    return inside[0]
