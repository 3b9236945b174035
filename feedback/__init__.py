"""Argilla: what people are shown, what they answer, and which records they should see first."""
