"""Made-up species, their songs, clips, soundscapes, and a whole competition; everything follows from a seed."""
