"""What a task holds and where it stands, for people and pandas."""
