"""Defines the commands of an operator's day, a module each: its options, its help, what it prints.
What it does is in mqhost.manage and mqhost.fleet; they are in the table of mqhost.cli.catalogue."""
