"""Uses of the schemas that workers announce: signatures, data from words, a cache."""
