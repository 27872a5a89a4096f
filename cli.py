"""The door of a checkout: python cli.py study run quickstart"""

from growlab.commands import main

if __name__ == "__main__":
    main()
