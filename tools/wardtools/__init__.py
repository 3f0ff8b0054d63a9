"""What people run on files and cards at a workstation: the command `wardtool`."""
