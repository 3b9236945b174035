"""Students and snapshots for others: their cards, and the upload to the Hugging Face Hub."""
