"""The report page of an evaluation."""

from keras_temporal_reg.evaluation.report.page import ClipSection, Panel, Report, write

__all__ = ["ClipSection", "Panel", "Report", "write"]
