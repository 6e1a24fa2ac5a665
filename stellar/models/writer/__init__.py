"""Writer of PMML 4.4: the form of a model as a document."""
