"""Reader of PMML 3.0 to 4.4."""
