"""A student that answers over HTTP."""
