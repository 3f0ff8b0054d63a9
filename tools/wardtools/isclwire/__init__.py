"""Reading ISCL off a capture: which byte order and which R1 alternatives fit, and every message field by field."""
