"""Read and write files: images, clips, Keras models, JSON; whole or not at all."""
