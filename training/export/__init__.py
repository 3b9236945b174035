"""A student as a folder that runs without tutelage."""
