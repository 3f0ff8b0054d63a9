"""Audit with the key of its TLS in a SoftHSM token, as any other leg has it; and what happens to tokens, told to the repository."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import peers
from support.auditkit import audit_table, told
from support.bench import Bench
from support.memory import found_in, secrets_of
from support.processes import free_port, until
from support.rsyslog import Rsyslog
from support.tlskit import shared_pki
from support.tokenkit import TokenKit, key_of
from wardtools.pki import Pki

pytestmark = pytest.mark.skipif(not peers.have("rsyslogd", "storescp", "echoscu"), reason="rsyslog or DCMTK is not installed")


@pytest.fixture
def pki() -> Pki:
    """The PKI whose keys are in the token."""
    return shared_pki()


@pytest.fixture
def kit() -> Iterator[TokenKit]:
    made = TokenKit("box-ecdsa")
    yield made
    made.close()


def test_messages_go_out_under_a_key_in_a_token_and_wait_while_it_is_out(bench: Bench, kit: TokenKit) -> None:
    bench.plan.keys = {"socket": kit.service.socket}
    with Rsyslog(bench.folder / "arr", bench.pki, free_port()) as repository:
        bench.plan.more = audit_table(bench.folder, bench.pki, [repository.port], str(key_of("box-ecdsa")))
        bench.start()
        until(lambda: "0 waiting" in bench.box.status().stdout, "all is delivered")
        (sender,) = bench.box.audit_senders()
        assert found_in(sender, secrets_of(bench.pki.leaf("box-ecdsa").key)) == set()
        before = len(repository.about("WG748"))
        kit.service.stop()
        found = told(repository.wait("WG747")[0])
        assert (found.event, found.types, found.outcome) == ("110113", ["110130"], "8")
        repository.stop()
        bench.box.wait_code("AUDIT_UNREACHABLE")
        repository.start()
        until(lambda: any(code in bench.box.status().stdout for code in ("WG761", "WG763")), "no signature, no handshake")
        kit.service.start()
        back = told(repository.wait("WG748", before + 1)[-1])
        assert (back.types, back.outcome) == (["110130"], "0")
        assert "audit:r0" in back.details["Users"]
