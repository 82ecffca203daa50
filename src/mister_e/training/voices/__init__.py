"""Training of the network that tells changes of voice."""
