"""What the kill trials do: python migrate_slowly.py STORE migrates in small steps, between saying "begin" and "end"."""

import sys

import two_teachers

import embedstore
from embedstore.engines import local
from embedstore.store import writing
from embedstore.teacher_change import filling

if __name__ == "__main__":
    local._CROPS_AT_ONCE, filling._COMMIT_ROWS, writing._AT_ONCE = 4, 3, 5
    sys.stdout.write("begin\n")
    sys.stdout.flush()
    embedstore.migrate(sys.argv[1], two_teachers.TurnedTeacher(seconds=0.005), without_missing=True)
    sys.stdout.write("end\n")
