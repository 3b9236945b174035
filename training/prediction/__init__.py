"""A student at work: files of any size, a Ray cluster, HTTP."""
