"""Argilla: what people are shown, what they answer, and which records they should see first."""

# Under a second name every class would be there twice, and the two would be strangers to each other.
if __name__ != "tutelage.feedback":
    raise ImportError(f"{__name__} ({__file__}) is the package tutelage.feedback; import it by that name")
