"""The data path: one association, two legs, both directions, hashed as it streams (see docs/design.md)."""
