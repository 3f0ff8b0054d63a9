"""The PIV application (SP 800-73-4 Part 2): data objects, PIN, key pairs, signatures."""

from __future__ import annotations

from typing import Final

from virtualcard import admin, pivkeys, pivobjects, tlv
from virtualcard.apdu import Command, Refusal, Status
from virtualcard.pivobjects import CERTIFICATES
from virtualcard.session import Session
from virtualcard.state import PrivateKey

_WHOLE_CARD: Final = 0x3FFF
_TAG_LIST, _VALUE = 0x5C, 0x53
_PIN_ALWAYS, _PIN_NEVER = 0x9C, 0x9E  # SP 800-73-4 Part 1, table 5; the others need it once
_EXPONENTIATION: Final = 0x85


class Piv:
    """Answers the commands of the PIV application."""

    aid = pivobjects.AID
    shortest_aid = 5  # the registered application provider identifier

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loaded: dict[int, tuple[PrivateKey, pivkeys.Loaded]] = {}
        self.commands = {0xCB: self._get_data, 0xDB: self._put_data, 0x47: self._generate, 0x87: self._authenticate}

    def selected(self) -> bytes:
        """Return the application property template."""
        identifier = tlv.encode(0x4F, self.aid[5:])
        authority = tlv.encode(0x79, tlv.encode(0x4F, self.aid[:5]))
        return tlv.encode(0x61, identifier + authority + tlv.encode(0x50, b"PIV"))

    def _get_data(self, command: Command) -> bytes:
        tag, rest = _tag_and_rest(command)
        if rest:
            raise Refusal(Status.WRONG_DATA)
        if tag in pivobjects.NEED_PIN:
            self._session.need_pin()
        found = pivobjects.read(self._session.state, tag)
        if found is None:
            raise Refusal(Status.NOT_FOUND)
        return found

    def _put_data(self, command: Command) -> bytes:
        self._session.need_admin()
        tag, rest = _tag_and_rest(command)
        if rest.keys() != {_VALUE}:
            raise Refusal(Status.WRONG_DATA)
        if tag not in pivobjects.WRITABLE:
            raise Refusal(Status.NOT_FOUND)
        if len(rest[_VALUE]) > pivobjects.MAX_BYTES:
            raise Refusal(Status.NO_SPACE)
        with self._session.change() as changed:
            if rest[_VALUE]:
                changed.objects[tag] = rest[_VALUE]
            else:
                changed.objects.pop(tag, None)
        return b""

    def _generate(self, command: Command) -> bytes:
        self._session.need_admin()
        if command.p1 or command.p2 not in CERTIFICATES:
            raise Refusal(Status.WRONG_P1P2)
        try:
            control = tlv.decode(tlv.decode(command.data).get(0xAC, b""))
        except tlv.BadTlv as error:
            raise Refusal(Status.WRONG_DATA) from error
        algorithm = int.from_bytes(control.get(0x80, b""), "big")
        if algorithm not in pivkeys.ALGORITHMS:
            raise Refusal(Status.WRONG_DATA)
        pair, public = pivkeys.generate(algorithm)
        with self._session.change() as changed:
            changed.keys[command.p2] = pair
        self._session.signed = True
        return public

    def _authenticate(self, command: Command) -> bytes:
        template = admin.general(command)
        if command.p2 == admin.REFERENCE:
            return admin.authenticate(self._session, command, template)
        pair = self._session.state.keys.get(command.p2)
        if pair is None:
            raise Refusal(Status.NO_KEY)
        if command.p1 != pair.algorithm:
            raise Refusal(Status.WRONG_P1P2)
        if template.keys() - {admin.RESPONSE} not in ({admin.CHALLENGE}, {_EXPONENTIATION}) or template.get(admin.RESPONSE):
            raise Refusal(Status.WRONG_DATA)
        self._need_pin(command.p2)
        key = self._key(command.p2, pair)
        self._session.signed = True
        if _EXPONENTIATION in template:
            result = pivkeys.agree(key, template[_EXPONENTIATION])
        else:
            result = pivkeys.sign(key, template[admin.CHALLENGE])
        return tlv.encode(admin.TEMPLATE, tlv.encode(admin.RESPONSE, result))

    def _need_pin(self, reference: int) -> None:
        if reference == _PIN_NEVER:
            return
        self._session.need_pin()
        if reference == _PIN_ALWAYS and not self._session.pin_fresh:
            raise Refusal(Status.NOT_SATISFIED)
        self._session.pin_fresh = False

    def _key(self, reference: int, pair: PrivateKey) -> pivkeys.Loaded:
        known = self._loaded.get(reference)
        if known is None or known[0] != pair:
            known = self._loaded[reference] = (pair, pivkeys.load(pair))
        return known[1]


def _tag_and_rest(command: Command) -> tuple[int, dict[int, bytes]]:
    if command.p1p2 != _WHOLE_CARD:
        raise Refusal(Status.WRONG_P1P2)
    try:
        data = tlv.decode(command.data)
    except tlv.BadTlv as error:
        raise Refusal(Status.WRONG_DATA) from error
    tag = data.pop(_TAG_LIST, b"")
    if not 1 <= len(tag) <= 3:
        raise Refusal(Status.WRONG_DATA)
    return int.from_bytes(tag, "big"), data
