"""Post-processing: pure steps on tables of predictions, and what each of them really changes.

A table is that of `analysis.predictions.table`: float64 in 0..1, one row a window (`row_id`), one column a class. A
step is a frozen dataclass, its parameters the fields; `str(step)` is short, `step(table)` a new table with the same
rows and columns in the same order (`nocall.Class` alone drops its own column). No step looks across recordings, except
that a prior was fitted on others'; none depends on the order of the rows.

The order in which the steps belong stands once, in `order.ORDER`. What they are worth is not assumed: `effects.apply`
counts rows, values and ranks that moved and, with truth, gives the gain in macro AUC with its interval.
Formulas and constants: what public BirdCLEF+ 2026 notebooks use; each module says them.
"""
