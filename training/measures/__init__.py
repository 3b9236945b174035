"""Metrics for students and teachers: pure functions on arrays and texts."""
