"""The embedded Argilla: install, start, find and stop it."""
