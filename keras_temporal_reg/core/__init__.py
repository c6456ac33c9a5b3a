"""Argument checks, the warp, XLA and seeds, which the other packages build on. Not public."""
