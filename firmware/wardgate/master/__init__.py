"""The master process: opens the listening sockets, starts the writer and the workers, and starts again what died.

It lives as long as the box and holds no key, so it is kept small: no `ssl`, `tomllib`, `cryptography`, `dataclasses`
or `typing` at run time. What needs those (reading the configuration, fetching CRLs) is done by short-lived children.
"""
