"""Is this host fit to run the pipeline? Checks with a verdict, a reason and a remedy."""
