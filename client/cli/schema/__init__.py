"""What zclient makes of the schemas that workers announce: signatures, data from words, a cache."""
