"""What a run shows: previews, curves, report.html."""
