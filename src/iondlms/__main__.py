"""`python -m iondlms` is the command `iondlms`."""

from iondlms.cli.entry import main

if __name__ == "__main__":
    main()
