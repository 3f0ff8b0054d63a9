"""Puts a service together from its configuration: modules loaded once each, a thread a token."""

from __future__ import annotations

import os

from wardgate.codes import Code
from wardgate.log import Log
from wardkeys.config import ISCL_CARD, Config
from wardkeys.cryptoki.failures import ModuleUnusable
from wardkeys.cryptoki.module import Module
from wardkeys.holder import Holder
from wardkeys.pin import Latch, Latches
from wardkeys.service import Service
from wardkeys.token import TokenThread


def build(config: Config, log: Log) -> Service:
    """Return a service whose token threads have begun. Raises `OSError` when the socket cannot be had."""
    modules: dict[str, Module] = {}
    tokens: list[TokenThread] = []
    latches = Latches()
    for one in config.tokens:
        unusable = None
        latch = Latch(os.path.join(config.state_dir, f"{one.name}.pin-refused"), one.pin_file or "", latches)
        if one.module == ISCL_CARD:
            from wardkeys.cardholder import CardHolder

            tokens.append(TokenThread(CardHolder(one, latch, log)))
            continue
        try:
            path = os.path.realpath(one.module)  # C_Finalize through one name would end what another name uses
            module = modules.setdefault(path, modules.get(path) or Module(path))
        except ModuleUnusable as error:
            log.event(Code.KEYS_MODULE, token=one.name, detail=error)
            module, unusable = None, error
        others = [other.wanted for other in config.tokens if other is not one and other.module == one.module]
        tokens.append(TokenThread(Holder(one, module, others, latch, log), unusable))
    service = Service(config, tokens, log)
    for token in tokens:
        token.holder.changed = service.changed
        token.start()
    return service
