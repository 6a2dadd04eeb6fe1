"""Several workers that train one pair of networks."""
