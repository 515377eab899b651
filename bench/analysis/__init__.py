"""Everything derived from records: one table, one ranking, effects, rejection, the literature's claims."""
