"""`python -m app` and `postern` are the same."""

from app.cli import application


def main() -> None:
    """Run the command line."""
    application()


if __name__ == "__main__":
    main()
