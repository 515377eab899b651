"""What people read after a sweep: ranking, report, plots, one HTML page, the page of claims."""
