"""Read and write files: images, clips and JSON, atomically; progress bars."""
