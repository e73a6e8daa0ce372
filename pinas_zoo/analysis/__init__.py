"""What a network costs, how it is drawn, and what the paper prints of it."""
