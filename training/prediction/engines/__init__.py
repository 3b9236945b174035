"""Inference engines: one file per engine, and the choice among them."""
