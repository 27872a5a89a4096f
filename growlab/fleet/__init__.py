"""Workers on several places. local: on this machine."""
