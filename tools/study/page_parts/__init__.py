"""What `pages.py` and `missed.py` are made of: the evidence, its tables and pictures, and the prose around them."""
