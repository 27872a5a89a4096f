"""The door of a checkout: python cli.py study run quickstart"""

from growlab.__main__ import main

if __name__ == "__main__":
    main()
