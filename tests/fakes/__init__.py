"""Made-up runs, scripted workers, servers and browsers that tests share."""
