"""Durable store-and-forward for when the hospital side is away (see docs/hold.md)."""
