"""What `tidegauge` runs: the command, and the same end by Ctrl-C while that is still being imported."""


def main() -> int:
    """Run one command; return its exit code, 130 for Ctrl-C."""
    try:
        from stack import cli

        return cli.main()
    except KeyboardInterrupt:
        return 130
