"""Updates: what worked before an install must work after it, or the box goes back to the slot that it came from."""
