"""Texts, the teacher's votes, and the ledger that keeps both."""

# Under a second name every class would be there twice, and the two would be strangers to each other.
if __name__ != "tutelage.loaders":
    raise ImportError(f"{__name__} ({__file__}) is the package tutelage.loaders; import it by that name")
