"""DIMSE of PS3.7: command sets of messages. Sans-IO: no socket, clock, file or key."""
