"""Steps that need several packages: the loop through Argilla, the demo, the periodic job, safety copies."""
