"""Texts, the teacher's votes, and the ledger that keeps both."""
