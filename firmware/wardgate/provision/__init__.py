"""The box before the gateway: the signed state, the time floor, the vault, and what is kept until the vault opens."""
