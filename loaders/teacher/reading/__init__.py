"""How a label is read in a model's answer: strictly, in time linear in its length."""
