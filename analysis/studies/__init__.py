"""Studies of the probe itself: how many clips it needs, and what folds that split groups inflate."""
