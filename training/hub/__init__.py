"""Model cards, dataset cards, and the upload to the Hugging Face Hub."""
