"""What the server answers. Each module has `routes(served)`; every route that is no GET passes the checks of `security`."""
