"""What a participant does: Flower ClientApps around the tasks of `fedtrade`."""
