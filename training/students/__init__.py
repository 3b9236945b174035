"""The kinds of students: what each learns from, how it is trained, saved and loaded."""
