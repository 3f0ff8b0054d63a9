"""Two ISCL engines joined in memory, with keys in software tokens."""

from __future__ import annotations

from collections.abc import Callable

from wardgate.iscl.engine import Engine
from wardgate.iscl.libcrypto import LibPrimitives
from wardgate.iscl.primitives import Primitives
from wardgate.iscl.settings import Settings
from wardgate.iscl.softtoken import KeyPair, SoftToken
from wardgate.iscl.table import State
from wardgate.iscl.terms import Encryption, Mac, Method, Role
from wardgate.iscl.tokens import Challenge, MessageKey, Operation, Result

DES_KEY = bytes.fromhex("0123456789abcdef")
OTHER_DES_KEY = bytes.fromhex("fedcba9876543210")
SAME = KeyPair(DES_KEY, DES_KEY)  # as in the vectors; a laboratory's pair
PAIR = KeyPair(DES_KEY, OTHER_DES_KEY)
MASTER = KeyPair(bytes.fromhex("2345678998badcef"), bytes.fromhex("98badcef23456789"))  # static slots 2 and 3
AES_PAIR = KeyPair(bytes(range(32)), bytes(range(32, 64)))
SERVER = Settings(b"GWAY", b"PACS")
CLIENT = Settings(b"PACS", b"GWAY")

SUITES = [
    (Method.THREE_PASS_FOUR_WAY, Encryption.NONE, Mac.MD5),
    (Method.THREE_PASS_FOUR_WAY, Encryption.NONE, Mac.DES_MAC),
    (Method.THREE_PASS_FOUR_WAY, Encryption.DES_CBC, Mac.MD5),
    (Method.THREE_PASS_FOUR_WAY, Encryption.DES_CBC, Mac.DES_MAC),
    (Method.ISO_9798_2_AES, Encryption.DES_CBC, Mac.RETAIL),
    (Method.ISO_9798_2_AES, Encryption.TRIPLE_DES_CBC, Mac.RETAIL),
    (Method.ISO_9798_2_AES, Encryption.AES_128_CBC, Mac.AES_CMAC),
    (Method.ISO_9798_4_CMAC, Encryption.AES_256_CBC, Mac.HMAC_SHA256),
    (Method.ISO_9798_4_CMAC, Encryption.AES_256_GCM, Mac.INTEGRATED),
    (Method.ISO_9798_4_CMAC, Encryption.NONE, Mac.HMAC_SHA256),
]


class Scripted(SoftToken):
    """A token whose random numbers are told."""

    def __init__(self, primitives: Primitives, pair: KeyPair, randoms: list[bytes]) -> None:
        super().__init__(primitives, {1: pair}, {1: pair, 2: MASTER, 3: MASTER})
        self.randoms = randoms

    def _one(self, operation: Operation) -> Result:
        if isinstance(operation, Challenge) and self.randoms:
            return self.randoms.pop(0)
        if isinstance(operation, MessageKey) and operation.random is None and operation.key_id == 16 and self.randoms:
            operation = operation._replace(random=self.randoms.pop(0))
        return super()._one(operation)


class End:
    """One engine with its token."""

    def __init__(self, role: Role, settings: Settings, pair: KeyPair | None = None, randoms: list[bytes] | None = None) -> None:
        self.primitives = LibPrimitives()
        pair = pair or (AES_PAIR if settings.wide else PAIR)
        self.token = Scripted(self.primitives, pair, randoms or [])
        self.engine = Engine(role, settings, self.primitives)
        self.wire = bytearray()  # out, not yet taken
        self.messages: list[bytes] = []
        self.now = 0.0

    def settle(self) -> None:
        """Let the token do what is asked, collect output and messages."""
        while True:
            asked = self.engine.take_asked()
            self.wire += b"".join(self.engine.take_output())
            self.messages += [bytes(message) for message in self.engine.take_messages()]
            if not asked:
                return
            for ask in asked:
                self.engine.answer(ask, self.token.run(ask.operations), self.now)

    def start(self) -> None:
        """Begin."""
        self.engine.start(self.now)
        self.settle()

    def feed(self, data: bytes) -> None:
        """Take wire bytes."""
        self.engine.feed(memoryview(data), self.now)
        self.settle()

    def send(self, data: bytes) -> None:
        """Queue a message."""
        self.engine.send(data, self.now)
        self.settle()

    def take(self) -> bytes:
        """Return what it says."""
        data, self.wire = bytes(self.wire), bytearray()
        return data


class Pair:
    """A server and a client. `edit(from_server, data)` may change what passes."""

    def __init__(
        self,
        server: Settings = SERVER,
        client: Settings = CLIENT,
        keys: tuple[KeyPair | None, KeyPair | None] = (None, None),
        edit: Callable[[bool, bytes], bytes] | None = None,
    ) -> None:
        self.server = End(Role.SERVER, server, keys[0])
        self.client = End(Role.CLIENT, client, keys[1])
        self.edit = edit or (lambda _from_server, data: data)

    def pump(self) -> None:
        """Carry bytes until nobody says anything."""
        while self.server.wire or self.client.wire:
            for source, sink in ((self.server, self.client), (self.client, self.server)):
                data = source.take()
                if data:
                    sink.feed(self.edit(source is self.server, data))

    def open(self) -> Pair:
        """Authenticate."""
        self.server.start()
        self.client.start()
        self.pump()
        assert self.server.engine.state is State.OPEN and self.client.engine.state is State.OPEN
        return self


def pair_of(method: Method, encryption: Encryption, mac: Mac, **words: object) -> tuple[Settings, Settings]:
    """Return server and client settings of one suite."""
    suite = {"method": method, "encryption": encryption, "mac": mac, **words}
    return SERVER._replace(**suite), CLIENT._replace(**suite)  # type: ignore[arg-type]
