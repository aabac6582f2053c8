"""`python -m raft_pkg.cli` is raftctl where its script isn't on the path."""

from raft_pkg.cli import main

if __name__ == "__main__":
    main()
