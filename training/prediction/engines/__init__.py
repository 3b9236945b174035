"""What runs a student over many texts: one file for each engine, and the choice among them."""
