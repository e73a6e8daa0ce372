"""Above the models: the user's registry of networks, model cards, what a user names."""
