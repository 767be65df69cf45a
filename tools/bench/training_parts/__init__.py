"""Parts of the training benchmark: the pictures, and the ways of training that are compared."""
