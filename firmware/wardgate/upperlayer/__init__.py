"""The DICOM upper layer of PS3.8 as a sans-IO package: PDUs, items and the state machine; no socket, clock or file.

`pdu` turns bytes into PDUs and back, `machine` says what an event means in a state, `walker` follows a relayed stream.
Nothing is imported here, so that a process pays only for what it uses.
"""
