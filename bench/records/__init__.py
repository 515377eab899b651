"""What happened: records, the journal they are kept in, and a run's folder."""
