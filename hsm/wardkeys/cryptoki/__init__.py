"""Our own small binding of PKCS#11 (OASIS PKCS#11 2.40) by ctypes: only what the key service needs, with all return values kept."""
