"""Students: how they are trained, measured against gold, kept, and used."""

# Under a second name every class would be there twice, and the two would be strangers to each other.
if __name__ != "tutelage.training":
    raise ImportError(f"{__name__} ({__file__}) is the package tutelage.training; import it by that name")
