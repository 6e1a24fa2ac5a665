"""Models that are data: PMML, XGBoost and LightGBM files, which are served without code of their own."""
