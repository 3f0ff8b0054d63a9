"""Line check and three-pass four-way authentication, both roles (R1 7.2, 7.3; ISO/IEC 9798-2 and -4 as extensions).

A pass that fails is answered with a NAK in the next message that is due; then the connection ends.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from wardgate.iscl.bodies import Codec, Message, Value
from wardgate.iscl.errors import Condition, IsclError
from wardgate.iscl.keys import CONNECTION_KEY_BYTES, label
from wardgate.iscl.line import Line, Wait
from wardgate.iscl.settings import MIN_BLOCK_BYTES
from wardgate.iscl.table import State
from wardgate.iscl.terms import ACK, NAK, MessageId, Method, Role
from wardgate.iscl.tokens import Authenticate, Challenge, Check, CheckBA, Derive, Operation, Respond, Result, TokenAB, TokenBA, Verify

_NONCE_BYTES = 16  # of the extension methods


class Handshake:
    """From the first message to `State.OPEN`."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.state = State.START
        self.peer_name = b""
        self._token_ab = b""

    def start(self) -> None:
        """Begin: the server speaks, the client waits."""
        line, settings = self.line, self.line.settings
        line.wait(Wait.LINE, settings.timers.line)
        if line.role is Role.CLIENT:
            self.state = State.LINE
            return
        self.state = State.LINE_ANSWER
        line.send(MessageId.LINE_REQUEST, block_length=settings.block_length, version=settings.r1.version)

    # --- line check

    def line_request(self, message: Message) -> None:
        """Client: the server offers a block length."""
        line, settings = self.line, self.line.settings
        if message.number("version") != settings.r1.version:
            self._refuse(Condition.BAD_VERSION, MessageId.LINE_RESPONSE, f"{message.number('version'):08x}", block_length=0)
        offered = message.number("block_length")
        if offered < MIN_BLOCK_BYTES:
            self._refuse(Condition.PEER_LENGTH_TOO_SMALL, MessageId.LINE_RESPONSE, f"{offered} bytes", block_length=settings.block_length)
        line.block_length = min(offered, settings.block_length)
        line.send(MessageId.LINE_RESPONSE, status=ACK, block_length=line.block_length)
        self._line_checked(State.AUTH)

    def line_response(self, message: Message) -> None:
        """Server: the client takes the smaller one."""
        line, settings = self.line, self.line.settings
        self._acknowledged(message)
        accepted = message.number("block_length")
        if accepted < MIN_BLOCK_BYTES:
            raise IsclError(Condition.PEER_LENGTH_TOO_SMALL, f"{accepted} bytes")
        if accepted > settings.block_length:
            raise IsclError(Condition.BAD_BLOCK_LENGTH, f"{accepted} bytes, {settings.block_length} were offered")
        line.block_length = accepted
        line.send(MessageId.AUTH_REQUEST, method=settings.method, key_id=settings.slot, name=settings.name)
        self._line_checked(State.AUTH_ANSWER)

    def _line_checked(self, state: State) -> None:
        self.line.came(Wait.LINE)
        self.line.wait(Wait.AUTHENTICATION, self.line.settings.timers.authentication)
        self.state = state

    # --- authentication, up to the first challenge

    def auth_request(self, message: Message) -> None:
        """Client: method, slot and the server's name."""
        line, settings = self.line, self.line.settings
        method, slot = message.number("method"), message.number("key_id")
        if method != settings.method or slot != settings.slot:
            self._refuse(Condition.BAD_METHOD, MessageId.AUTH_RESPONSE, f"method {method:08x}, slot {slot}", name=settings.name)
        self.peer_name = message.octets("name")
        if not hmac.compare_digest(self.peer_name, settings.peer_name):
            self._refuse(Condition.SECURITY_BREACH, MessageId.AUTH_RESPONSE, "another name", name=settings.name)
        line.send(MessageId.AUTH_RESPONSE, status=ACK, name=settings.name)
        self.state = State.PASS1

    def auth_response(self, message: Message) -> None:
        """Server: the client's name. A challenge is drawn."""
        self._acknowledged(message)
        self.peer_name = message.octets("name")
        if not hmac.compare_digest(self.peer_name, self.line.settings.peer_name):
            self._refuse(Condition.SECURITY_BREACH, MessageId.PASS1, "another name", challenge=bytes(8))
        self.state = State.CHALLENGING
        self.line.ask(self._challenged, Challenge(self._nonce_bytes))

    def _challenged(self, results: tuple[Result, ...]) -> None:
        self.line.my_challenge = self._octets(results[0], self._nonce_bytes)
        self.line.send(MessageId.PASS1, status=ACK, challenge=self.line.my_challenge)
        self.state = State.PASS2

    # --- the passes

    def pass1(self, message: Message) -> None:
        """Client: the server's challenge."""
        self._acknowledged(message, Condition.AUTHENTICATION_FAILED)
        self._card(message)
        line, settings = self.line, self.line.settings
        line.their_challenge = self._nonce(message)
        if settings.method is Method.ISO_9798_2_AES:
            self.state = State.REPLYING
            line.ask(self._token_made, TokenAB(settings.slot, line.mine, line.their_challenge, settings.peer_name))
            return
        self.state = State.DRAWING
        line.ask(self._drawn, Challenge(self._nonce_bytes))

    def _drawn(self, results: tuple[Result, ...]) -> None:
        line = self.line
        line.my_challenge = self._octets(results[0], self._nonce_bytes)
        if line.my_challenge == line.their_challenge:
            self._refuse(Condition.SECURITY_BREACH, MessageId.PASS2, "our challenge came back", response=bytes(8), challenge=bytes(8))
        self.state = State.REPLYING
        line.ask(self._replied, self._own_response(first=True))

    def _replied(self, results: tuple[Result, ...]) -> None:
        self.line.send(MessageId.PASS2, status=ACK, response=self._octets(results[0]), challenge=self.line.my_challenge)
        self.state = State.PASS3

    def _token_made(self, results: tuple[Result, ...]) -> None:
        """The nonce travels inside the token."""
        result = results[0]
        if not isinstance(result, tuple):
            raise IsclError(Condition.LOCAL_CARD, "the token gave no token")
        self._token_ab, self.line.my_challenge = result
        self.line.send(MessageId.PASS2, status=ACK, response=self._token_ab, challenge=b"")
        self.state = State.PASS3

    def pass2(self, message: Message) -> None:
        """Server: the client's response and challenge."""
        line, settings = self.line, self.line.settings
        self._acknowledged(message, Condition.AUTHENTICATION_FAILED)
        self._card(message)
        response = message.octets("response")
        self.state = State.JUDGING
        if settings.method is Method.ISO_9798_2_AES:
            self._token_ab = response
            token = TokenBA(settings.slot, line.mine, line.my_challenge, settings.name, response)
            line.ask(self._judged_second, token, *self._derivations())
            return
        line.their_challenge = self._nonce(message)
        if line.their_challenge == line.my_challenge:
            self._refuse(Condition.SECURITY_BREACH, MessageId.PASS3, "our challenge came back", response=bytes(8))
        line.ask(self._judged_second, self._their_response(response, first=True))

    def _judged_second(self, results: tuple[Result, ...]) -> None:
        line = self.line
        if results[0] is False:
            self._refuse(Condition.AUTHENTICATION_FAILED, MessageId.PASS3, "pass 2", response=bytes(8))
        if line.settings.method is Method.ISO_9798_2_AES:
            self._answered(results)  # judgement and answer are one operation there
            return
        self._must_be_true(results[0])
        self.state = State.ANSWERING
        line.ask(self._answered, self._own_response(first=False), *self._derivations())

    def _answered(self, results: tuple[Result, ...]) -> None:
        self._keep_keys(results[1:])
        self.line.send(MessageId.PASS3, status=ACK, response=self._octets(results[0]))
        self.state = State.COMPLETION

    def pass3(self, message: Message) -> None:
        """Client: the server's response."""
        self._acknowledged(message, Condition.AUTHENTICATION_FAILED)
        self._card(message)
        self.state = State.JUDGING
        self.line.ask(self._judged_third, self._their_response(message.octets("response"), first=False))

    def _judged_third(self, results: tuple[Result, ...]) -> None:
        line = self.line
        if results[0] is False:
            self._refuse(Condition.AUTHENTICATION_FAILED, MessageId.COMPLETION, "pass 3")
        self._must_be_true(results[0])
        if not line.settings.derived:
            self._complete(())
            return
        self.state = State.DERIVING
        line.ask(self._complete, *self._derivations())

    def _complete(self, results: tuple[Result, ...]) -> None:
        self._keep_keys(results)
        self.line.send(MessageId.COMPLETION, status=ACK)
        self._open()

    def completion(self, message: Message) -> None:
        """Server: the client is content."""
        self._acknowledged(message, Condition.AUTHENTICATION_FAILED)
        self._open()

    def _open(self) -> None:
        self.line.came(Wait.AUTHENTICATION)
        self.state = State.OPEN

    # --- what differs by method

    @property
    def _nonce_bytes(self) -> int:
        return _NONCE_BYTES if self.line.settings.wide else 8

    def _transcript(self, first: bool) -> bytes:
        """Return what 9798-4 authenticates: R_A, R_B, B, then R_B, R_A. B is the server, which the response of pass 2 is meant for."""
        line, settings = self.line, self.line.settings
        server = line.role is Role.SERVER
        r_a, r_b = (line.their_challenge, line.my_challenge) if server else (line.my_challenge, line.their_challenge)
        name = settings.name if server else settings.peer_name
        return r_a + r_b + name if first else r_b + r_a

    def _own_response(self, first: bool) -> Operation:
        line, settings = self.line, self.line.settings
        if settings.method is Method.THREE_PASS_FOUR_WAY:
            return Respond(settings.slot, line.mine, line.their_challenge)
        return Authenticate(settings.slot, line.mine, self._transcript(first))

    def _their_response(self, response: bytes, first: bool) -> Operation:
        line, settings = self.line, self.line.settings
        if settings.method is Method.THREE_PASS_FOUR_WAY:
            return Verify(settings.slot, line.theirs, line.my_challenge, response)
        if settings.method is Method.ISO_9798_2_AES:
            return CheckBA(settings.slot, line.theirs, line.my_challenge, line.their_challenge, response)
        return Check(settings.slot, line.theirs, self._transcript(first), response)

    def _derivations(self) -> tuple[Operation, ...]:
        line, settings = self.line, self.line.settings
        if not settings.derived:
            return ()
        if settings.method is Method.ISO_9798_2_AES:  # the server does not see R_A, which is inside TokenAB
            r_b = line.my_challenge if line.role is Role.SERVER else line.their_challenge
            salt = r_b + hashlib.sha256(self._token_ab).digest()
        else:
            salt = self._transcript(first=False)
        ways = (line.mine, line.theirs)
        return tuple(Derive(settings.slot, way, salt, label(way), CONNECTION_KEY_BYTES) for way in ways)

    def _keep_keys(self, results: tuple[Result, ...]) -> None:
        for way, key in zip((self.line.mine, self.line.theirs), results, strict=False):
            self.line.connection_keys[way] = self._octets(key, CONNECTION_KEY_BYTES)

    # --- checks

    def _nonce(self, message: Message) -> bytes:
        challenge = message.octets("challenge")
        if len(challenge) != self._nonce_bytes:
            raise IsclError(Condition.BAD_LENGTH, "challenge")
        return challenge

    def _octets(self, result: Result, size: int | None = None) -> bytes:
        if not isinstance(result, bytes) or (size is not None and len(result) != size):
            raise IsclError(Condition.LOCAL_CARD, "the token gave something else than was asked")
        return result

    def _must_be_true(self, result: Result) -> None:
        if result is not True:
            raise IsclError(Condition.LOCAL_CARD, "the token did not judge")

    def _acknowledged(self, message: Message, condition: Condition = Condition.NAK_RECEIVED) -> None:
        status = message.number("status")
        if status == ACK:
            return
        if message.option:
            self._card(message)
        raise IsclError(condition, f"{message.id.name}, status {status:08x}")

    def _card(self, message: Message) -> None:
        if message.option:
            raise IsclError(Condition.REMOTE_CARD, f"{message.id.name}, card result {message.option:08x}")

    def _refuse(self, condition: Condition, answer: MessageId, detail: str, **fields: Value) -> None:
        raise IsclError(condition, detail, _nak(self.line.codec, answer, 0, fields))

    def token_failed(self, detail: str) -> IsclError:
        """Return the error for a token that failed; the message now due says so to the peer."""
        due: dict[State, tuple[MessageId, dict[str, Any]]] = {
            State.CHALLENGING: (MessageId.PASS1, {"challenge": bytes(8)}),
            State.DRAWING: (MessageId.PASS2, {"response": bytes(8), "challenge": bytes(8)}),
            State.REPLYING: (MessageId.PASS2, {"response": bytes(8), "challenge": bytes(8)}),
            State.ANSWERING: (MessageId.PASS3, {"response": bytes(8)}),
            State.DERIVING: (MessageId.COMPLETION, {}),
        }
        if self.state is State.JUDGING:
            server = self.line.role is Role.SERVER
            message, fields = due[State.ANSWERING] if server else due[State.DERIVING]
        else:
            message, fields = due[self.state]
        option = 1 if message is not MessageId.COMPLETION else 0  # card result: not OK
        return IsclError(Condition.LOCAL_CARD, detail, _nak(self.line.codec, message, option, fields))


def _nak(codec: Codec, message: MessageId, option: int, fields: dict[str, Any]) -> bytes:
    return codec.encode(message, option, status=NAK, **fields)
