"""What is in a dataset and why the rest is not: counted from the manifests, shown on one self-contained page."""

from demix.report.manifests import ReportError
from demix.report.page import merge_reports, write_report

__all__ = ["ReportError", "merge_reports", "write_report"]
