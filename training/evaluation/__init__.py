"""Evaluation of students and teachers on gold labels."""
