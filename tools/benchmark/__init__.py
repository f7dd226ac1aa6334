"""What a conversion costs and how fast its bundle runs, measured here and written into the tables of docs/."""
