"""Smartcards as the host sees them: APDUs, the PIV application, the ISCL application. No reader here: see `wardkeys.pcsc`."""
