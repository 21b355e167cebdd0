"""How messages are cut out of bytes. Pure: every framer takes any split of the stream and gives the same messages."""
