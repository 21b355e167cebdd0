"""The commands of the command line, one module each; `proxy.__main__` parses and calls them."""
