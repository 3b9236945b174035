"""The kinds of students: how each is trained, saved and loaded."""
