"""The teacher: asks LLMs for votes with reasons, and keeps every answer."""
