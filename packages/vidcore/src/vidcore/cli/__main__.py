"""``python -m vidcore.cli``."""

from vidcore.cli import main

if __name__ == "__main__":
    main()
