"""Students: trained, measured, kept and used."""
