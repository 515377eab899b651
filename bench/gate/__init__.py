"""Two revisions of one repository measured in pairs of processes, and judged."""
