"""Parts of the measurement of new defects: what is left out, students that never saw it, what is added, and what that gives."""
