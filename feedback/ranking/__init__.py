"""Which suggestions look wrong: scores of label quality, and the order in which people look at them."""
