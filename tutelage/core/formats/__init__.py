"""YAML and JSON as people write them: what readers would take silently or grow without end is refused."""
