"""What Yadav 2026 found, and left open, where the truth is known: on a competition of `features.synthetic`.

pseudo     single-pass pseudo-labels raise the out-of-fold score: does the held-out score follow?  (naive and gated)
residual   h25 - h24 in place of h25: the same signal, where every token has a projection of its own
priors     the site/hour prior and the smoothing tuned out of fold, against the published moderate setting
members    the dominant blend's kinds of members, by site, on inner blocks and on the final embedding, and blended

Each trains on what a competitor has and scores twice: out of fold on the labelled soundscapes, as competitors do, and
on the test soundscapes, whose truth no competition gives. What comes out is reported, whatever it is.
"""

from .experiment import EXPERIMENTS, run_experiment
from .outcome import Outcome

__all__ = ["EXPERIMENTS", "Outcome", "run_experiment"]
