"""Students: how they are trained, measured against gold, kept, and used."""
