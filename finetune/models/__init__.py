"""The networks that are fine-tuned, under their published tensor names."""
