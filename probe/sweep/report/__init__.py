"""The page of a finished sweep, report.html."""

from .report import write_report

__all__ = ["write_report"]
