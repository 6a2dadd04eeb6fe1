"""Images become a clean training set of one size: enlarged, looked through, packed."""
