"""Makes what a model needs before it is edited: facts that it knows, probes, and the cards of its folder."""
