"""python -m growlab"""

from growlab.commands import main

if __name__ == "__main__":
    main()
