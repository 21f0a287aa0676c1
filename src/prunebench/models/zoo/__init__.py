"""Models, one file each; importing one is cheap, building it imports torchvision or transformers."""
