"""What people's work goes through: push, rank, pull, the queue dealt among them."""
