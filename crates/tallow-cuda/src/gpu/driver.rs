//! The driver's errors as this crate's.

use cudarc::driver::DriverError;

use crate::error::Error;

/// What the driver says.
pub fn driver(error: DriverError) -> Error {
    Error::Driver(error.to_string())
}
