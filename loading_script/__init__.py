"""The loading script for datasets 2.x and 3.x; every release carries it in a subfolder of the same name."""
