"""What each command of `demix` does; one file a command family. Imported only when the command is used."""
