"""The image as a function of the bundle: plan, layers, manifests and layouts."""
