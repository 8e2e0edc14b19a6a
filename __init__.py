"""birdprobe: which model, which block, read how, for your recordings, and how sure is that?"""
