"""`wardgate check`: every mistake of a configuration on its own line, for the person who wrote it."""

from __future__ import annotations

from typing import TextIO

from wardgate.policy.claims import SOON_DAYS, check_claims, expired, own_certificates, restart_with_openssl_conf
from wardgate.policy.holdcheck import check_hold
from wardgate.policy.keycheck import check_token_keys
from wardgate.policy.loader import load_config
from wardgate.policy.mistakes import ConfigErrors, Mistake
from wardgate.policy.model import Link, Party
from wardgate.policy.plant import Ports


def check(path: str, out: TextIO) -> int:
    """Print what is wrong, or what the configuration amounts to. Returns 1 when something is wrong."""
    mistakes: list[Mistake] = []
    try:
        config = load_config(path)
    except ConfigErrors as errors:
        return _refuse(path, errors.mistakes, out)
    restart_with_openssl_conf(config)
    check_claims(config, mistakes, files=True)
    unchecked = check_token_keys(config, mistakes) + check_hold(config, mistakes)
    certificates = own_certificates(config, mistakes)
    mistakes += expired(certificates)
    if mistakes:
        return _refuse(path, mistakes, out)
    for link in config.links:
        _describe(link, out)
    if config.audit is not None:
        by = ", by an account of its own, whose keys are its alone" if config.audit.socket else ""
        for repository in config.audit.repositories:
            out.write(f"audit to {repository.name} at {repository.connect.text}, TLS {repository.tls.profile}{by}\n")
    if config.updates is not None:
        when = f"{config.updates.restart_hours} UTC" if config.updates.restart_hours else "at any time"
        out.write(f"updates from {config.updates.server.text} as {config.updates.device}, starts into them {when}\n")
    plant = config.plant
    if plant.ports is not Ports.NONE:
        vlan = f", VLAN {plant.vlan}" if plant.vlan else ""
        out.write(f"plant: {plant.ports} of {plant.modality_port} (modality) and {plant.hospital_port} (hospital){vlan}\n")
        for entry in plant.allow:
            out.write(f"  passes {entry.way}: {entry.name} ({entry.service}) {', '.join(map(str, entry.addresses))}\n")
        if plant.break_glass.allow:
            out.write(f"  break-glass to {', '.join(e.text for e in plant.break_glass.addresses)}, {plant.break_glass.minutes} minutes\n")
    for own in dict.fromkeys(certificates):
        soon = "  <- enrol it again soon" if own.days_left < SOON_DAYS else ""
        out.write(f"certificate {own.chain} ({own.link}, {own.party}): {own.days_left} days left{soon}\n")
    for key in sorted(config.token_keys):
        out.write(f"key in a token: {key}\n")
    for text in unchecked:
        out.write(f"warning: {text}\n")
    for text in config.unsafe:
        out.write(f"UNSAFE: {text}\n")
    out.write(f"{path}: no mistake\n")
    return 0


def _refuse(path: str, mistakes: list[Mistake], out: TextIO) -> int:
    for mistake in mistakes:
        out.write(f"{mistake}\n")
    out.write(f"{path}: {len(mistakes)} mistake{'s' if len(mistakes) != 1 else ''}\n")
    return 1


def _describe(link: Link, out: TextIO) -> None:
    ways = ", ".join(sorted(link.directions))
    classes = "any SOP class" if "*" in link.sop_classes else f"{len(link.sop_classes)} SOP classes"
    out.write(f"link {link.name}: {ways}; {classes}\n")
    for party in link.parties:
        out.write(f"  {_party(party)}\n")


def _party(party: Party) -> str:
    if party.iscl is not None:
        secured = f"legacy ISCL-style channel, reconstruction profile R1 ({party.iscl.encryption}, {party.iscl.mac})"
        if party.tls is not None:
            secured += f" inside {_tls_or_clear(party)}"
    else:
        secured = _tls_or_clear(party)
    text = f"{party.name} ({', '.join(party.ae_titles)}), {secured}"
    if party.listen:
        sources = ", ".join(str(network) for network in party.addresses)
        text += f"; calls {', '.join(endpoint.text for endpoint in party.listen)} from {sources}"
    if party.connect:
        text += f"; is called at {party.connect.text}"
    return text


def _tls_or_clear(party: Party) -> str:
    return "in clear" if party.tls is None else f"TLS {party.tls.profile}{'' if party.tls.mutual else ', anonymous callers'}"
