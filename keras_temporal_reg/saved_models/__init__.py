"""Keras models in files: load, save, search for code, and find out what they take and return."""
