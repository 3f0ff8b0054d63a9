"""The supervisor: MicroPython program of the board's microcontroller (docs/supervisor.md). `make supervisor BOARD=` lays it out."""
