"""All tables by name, and their files."""

from pathlib import Path

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


def write(sources: Sources, published: Published, folder: Path) -> tuple[Path, ...]:
    """NAME.csv, NAME.md and NAME.tex of every table into `folder`, which is made; what was there is replaced. Same
    sources, same bytes."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, one in tables(sources, published).items():
        texts = {".csv": one.to_csv(), ".md": one.to_markdown(), ".tex": one.to_latex(f"tab:{name}")}
        for suffix, text in texts.items():
            path = folder / f"{name}{suffix}"
            path.write_text(text, encoding="utf-8", newline="\n")
            written.append(path)
    return tuple(written)
