"""The box's end of the line to the supervisor, the microcontroller that resets a box that hangs: docs/supervisor.md."""
