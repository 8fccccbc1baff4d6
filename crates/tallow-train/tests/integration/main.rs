//! The integration tests of tallow-train: one binary, because each binary links every dependency again.

mod common;
mod ensemble;
mod first_50_losses;
mod own_model;
mod regularisation;
mod setup;
mod sizes;
mod stages;
mod training;
mod transfer;
