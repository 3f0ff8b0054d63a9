"""All tables of the configuration: those of the gateway, of the plant and of the audit."""

from __future__ import annotations

from typing import Final

from wardgate.policy.audit_words import AUDIT_SCHEMA
from wardgate.policy.plant_words import PLANT_SCHEMA
from wardgate.policy.schema import SCHEMA, Word

TABLES: Final[dict[str, tuple[Word, ...]]] = {**SCHEMA, **PLANT_SCHEMA, **AUDIT_SCHEMA}
