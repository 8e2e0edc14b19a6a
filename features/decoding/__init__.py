"""What stands in an audio file: its header, its streams, and how to hand each of them to libsndfile."""
