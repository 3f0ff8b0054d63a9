"""The custody log: records of what passed, made durable, then signed as a C2SP tiled transparency log."""
