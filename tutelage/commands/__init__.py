"""The commands, by the part of the loop that they belong to."""
