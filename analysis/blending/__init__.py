"""Blends of members' predictions: weighted means as probabilities, logits or ranks; an honest search for the weights.

Everything works on tables of `analysis.predictions.table`, so a member may be anybody's CSV. `blend` mixes them;
`search` tunes weights on out-of-fold predictions and says what they gain on rows that did not choose them; `diversity`
tells how alike the members are. A member that ranks as another does cannot add anything to it.
"""

from .blend import SPACES, blend
from .correlation import diversity
from .weight_search import Search, search

__all__ = ["SPACES", "Search", "blend", "diversity", "search"]
