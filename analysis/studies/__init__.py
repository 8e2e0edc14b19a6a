"""Studies beside a ranking: how many clips it needs, what split groups inflate, which taps to concatenate."""
