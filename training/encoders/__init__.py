"""Encoders of Hugging Face: how they are loaded, and how texts become tokens."""
