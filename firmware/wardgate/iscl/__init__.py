"""Legacy ISCL-style channel, reconstruction profile R1, as a sans-IO engine: bytes in, bytes and events out.

The header, message numbers and code points are those that one implementer published; everything else is this project's decision
and a value of `reconstruction.Reconstruction`. `docs/iscl.md` says which is which. Not a claim of conformance to anything.

    terms, layout, header, bodies    what is on the wire
    reconstruction, settings         what is guessed, what two peers agree on beforehand
    table                            which message may come when
    handshake, sending, receiving    the three parts of `engine.Engine`
    suite, padding, deskeys          how one message is protected
    primitives                       what the engine needs of a cipher library; `libcrypto` has it
    tokens                           what it asks of whoever holds the long-term keys
"""
