"""What the languages have in common: the frame of an image, build containers, source trees."""
