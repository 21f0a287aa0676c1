"""The two kinds of Task, images and text, and how a config becomes one."""
