"""Reader of fitted scikit-learn estimators: the form of a model, from their attributes."""
