"""What students and teachers are measured with: pure functions on arrays and texts."""
