"""All tables of the configuration: those of the gateway, of the plant, of the audit and of updates."""

from __future__ import annotations

from typing import Final

from wardgate.policy.audit_words import AUDIT_SCHEMA
from wardgate.policy.plant_words import PLANT_SCHEMA
from wardgate.policy.schema import SCHEMA, Word
from wardgate.policy.update_words import UPDATES_SCHEMA

TABLES: Final[dict[str, tuple[Word, ...]]] = {**SCHEMA, **PLANT_SCHEMA, **AUDIT_SCHEMA, **UPDATES_SCHEMA}
