"""One training loop for every fine-tuned model."""
