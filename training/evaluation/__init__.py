"""Students and teachers against gold labels."""
