"""Readers of the model files of XGBoost and LightGBM."""
