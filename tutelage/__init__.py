"""tutelage turns an LLM's labels into a small model that people can trust."""

__version__ = "0.1.0"
