"""What runs beside or inside of Flower's SuperNode on a participant's machine, for speed."""
