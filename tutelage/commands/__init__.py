"""The command line: one thin function for each command, and everything that is printed."""
