"""What a training run leaves while it goes on: checkpoints, the curve of its losses, logs of trackers."""
