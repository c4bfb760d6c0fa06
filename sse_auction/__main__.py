"""`python -m sse_auction` is the command `sse-auction`."""

from sse_auction.cli import main

if __name__ == "__main__":
    main()
