"""Datasets and people on an Argilla server: what is sent there, what comes back."""
