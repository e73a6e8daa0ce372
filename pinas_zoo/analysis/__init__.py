"""Cost of a network, pictures of it, and the figures that the paper prints."""
