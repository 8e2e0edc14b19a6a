"""What a comparison with the truth measured: untouched members against its baseline."""

import math
from collections.abc import Mapping

from ...analysis.predictions.comparison import RAW
from ..runs.readers import Comparison
from .measure import Measure

BLEND, TTA, PLUS = "blend", "-tta", "-plus"


def blend_gain(run: Comparison) -> Measure | None:
    """Macro ROC-AUC of the blend, untouched, less that of the baseline, if that is an untouched member."""
    return _against(run, BLEND) if blends(run) else None


def blends(run: Comparison) -> bool:
    """Whether pipelines were blended: not one with itself, with shifted windows or with an addition."""
    others = {f"{baseline(run)['member']}{end}" for end in (TTA, PLUS)}
    return not others & set(run.frame["member"])


def tta_gain(run: Comparison) -> Measure | None:
    """Of member X-tta less X, where X is the baseline: X predicted with and without shifted windows."""
    return _against(run, f"{baseline(run)['member']}{TTA}")


def plus_gain(run: Comparison) -> Measure | None:
    """Of member X-plus less X, where X is the baseline: a blend with an addition, and without."""
    return _against(run, f"{baseline(run)['member']}{PLUS}")


def lead_change(public: Comparison, private: Comparison) -> Measure | None:
    """The blend's lead over the same baseline on private recordings less that on public ones. The two are independent:
    half the widths of the intervals add in quadrature, as of normal errors."""
    here, there = blend_gain(public), blend_gain(private)
    if here is None or there is None or here.at != there.at:
        return None
    value, half = there.value - here.value, math.hypot(here.high - here.low, there.high - there.low) / 2
    n = f"{here.n}; {there.n}"
    return Measure(private.name, f"{public.name}, {private.name}", value, value - half, value + half, n, here.at)


def baseline(run: Comparison) -> Mapping:
    return run.frame[run.frame["baseline"]].iloc[0].to_dict()


def _against(run: Comparison, member: str) -> Measure | None:
    base, rows = baseline(run), run.frame[(run.frame["member"] == member) & (run.frame["step"] == RAW)]
    if base["step"] != RAW or base["member"] == member or rows.empty:
        return None
    row = rows.iloc[0].to_dict()
    value, low, high = (float(row[f"vs_baseline{end}"]) for end in ("", "_lo", "_hi"))
    return Measure(run.name, members_of(run), value, low, high, counted_rows(row), f"{member} against {base['member']}")


def counted_rows(row: Mapping) -> str:
    return f"{row['n_rows']:,} windows, {row['n_files']:,} recordings"


def members_of(run: Comparison) -> str:
    """ "submission (attention, linear, blend)"."""
    return f"{run.name} ({', '.join(run.frame['member'].unique())})"
