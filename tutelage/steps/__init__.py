"""Steps that need several packages: the demo, the periodic job, safety copies."""
