"""The command line: the app, options that commands share, and what is printed."""
