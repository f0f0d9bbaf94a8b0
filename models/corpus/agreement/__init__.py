"""The second reading of a sample of the corpus, and how far it agrees with the first."""
