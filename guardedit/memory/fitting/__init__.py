"""Fits what decides about scope: the logistic score of the features, and the judge."""
