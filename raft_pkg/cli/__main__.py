"""`python -m raft_pkg.cli`: raftctl without its console script."""

from raft_pkg.cli import main

if __name__ == "__main__":
    main()
