"""The key service: the only process that holds PKCS#11 modules and PINs.

Others ask it over a UNIX socket to use a key, never to read one.
"""
