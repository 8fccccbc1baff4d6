//! Layers: parameters with a forward pass, one a file.
