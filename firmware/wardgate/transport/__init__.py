"""What carries the bytes of a leg: plain TCP or TLS by profile name, and the checks of the peer after the handshake."""
