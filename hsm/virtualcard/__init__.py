"""A smartcard in software: PIV (SP 800-73-4) and an ISCL application, for tests and demonstrations. Never in the image.

It keeps its keys in a file that anybody with the file can read; nothing here protects them. docs/card.md has every command.
"""
