"""Operations: the command line over a node."""
