"""How the memory's costs grow with the number of its facts."""
