"""Puts a service together from its configuration: modules loaded once each, a thread a token."""

from __future__ import annotations

import os

from wardgate.codes import Code
from wardgate.log import Log
from wardkeys.config import Config
from wardkeys.cryptoki.failures import ModuleUnusable
from wardkeys.cryptoki.module import Module
from wardkeys.pin import Latch
from wardkeys.service import Service
from wardkeys.token import TokenThread


def build(config: Config, log: Log) -> Service:
    """Return a service whose token threads have begun. Raises `OSError` when the socket cannot be had."""
    modules: dict[str, Module | ModuleUnusable] = {}
    tokens: list[TokenThread] = []
    for one in config.tokens:
        module = modules.get(one.module)
        if module is None:
            try:
                module = Module(one.module)
            except ModuleUnusable as error:
                log.event(Code.KEYS_MODULE, token=one.name, detail=error)
                module = error
            modules[one.module] = module
        others = [other.wanted for other in config.tokens if other is not one and other.module == one.module]
        latch = Latch(os.path.join(config.state_dir, f"{one.name}.pin-refused"), one.pin_file or "")
        tokens.append(TokenThread(one, module, others, latch, log))
    service = Service(config, tokens, log)
    for token in tokens:
        token.begin(service.changed)
    return service
