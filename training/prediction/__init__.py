"""Prediction: files of any size, a Ray cluster."""
