"""All tables of the configuration: those of the gateway and those of the plant."""

from __future__ import annotations

from typing import Final

from wardgate.policy.plant_words import PLANT_SCHEMA
from wardgate.policy.schema import SCHEMA, Word

TABLES: Final[dict[str, tuple[Word, ...]]] = {**SCHEMA, **PLANT_SCHEMA}
