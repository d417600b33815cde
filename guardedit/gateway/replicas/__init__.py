"""Several serving replicas behind one door."""
