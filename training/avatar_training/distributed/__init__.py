"""Several workers that train one pair of networks: messages between them, and batch norm over all of them."""
