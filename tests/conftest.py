"""What holds for every test: property tests have no deadline, because a loaded machine is no fault of the code."""

from hypothesis import settings

settings.register_profile("birdprobe", deadline=None)
settings.load_profile("birdprobe")
