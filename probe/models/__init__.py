"""Models by name, fetched, converted and checked; and made to take a waveform."""
