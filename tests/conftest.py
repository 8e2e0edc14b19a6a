"""What holds for every test: nothing is taken from or left in the user's cache, and property tests have no deadline,
because a loaded machine is no fault of the code."""

import os

from hypothesis import settings

os.environ["BIRDPROBE_CACHE"] = "off"
settings.register_profile("birdprobe", deadline=None)
settings.load_profile("birdprobe")
