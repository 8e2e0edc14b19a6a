"""The page of a finished sweep, report.html."""

from .page import write_report

__all__ = ["write_report"]
