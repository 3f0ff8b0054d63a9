"""Which known vulnerabilities an image has: a bill of materials against a feed that was given, without a network."""
