"""The sample that ``tutelage demo`` runs on; see README.md beside it for what it is and is not."""
