"""Published against ours, as tables: all of them by name.

Published numbers keep their digits. Where a run does not repeat the published setting, ours stand in columns of their
own, marked with what they were measured on; where no run has a number, there is a dash.
"""

from ...analysis.tables import Table
from ..claims import claims, needs_table, rules_table, table
from ..published import Published
from ..runs.discovery import Sources
from . import blocks, heads, members, scores

TABLES = {
    "table1": blocks.table1,
    "weights": heads.weights,
    "table2": scores.table2,
    "table3": scores.table3,
    "table4": scores.table4,
    "heads": heads.sizes,
    "members": members.members,
    "augmentation": members.augmentation,
    "member-runs": members.changed,
}


def tables(sources: Sources, published: Published) -> dict[str, Table]:
    """Every table, in the paper's order. Same sources, same tables. One without rows is left out."""
    made = {name: make(sources, published) for name, make in TABLES.items()}
    found = claims(sources, published)
    made |= {"claims": table(found), "claim-rules": rules_table(found), "claim-needs": needs_table(found)}
    return {name: one for name, one in made.items() if one.rows}
