"""Which way of training a task needs: a look at the store, short trials, a rule, and the reasons in words."""
