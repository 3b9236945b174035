"""How commands speak: to people on a terminal, to programs as JSON."""
