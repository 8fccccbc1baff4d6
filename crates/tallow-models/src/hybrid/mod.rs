//! Networks of convolutions and attention, one family a file.
