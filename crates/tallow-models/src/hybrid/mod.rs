//! Networks of convolutions and attention, one family a file.

pub(crate) mod backbone;
pub(crate) mod coatnet;
pub(crate) mod efficientformer;
pub(crate) mod levit;
pub(crate) mod maxvit;
mod maxxvit;
mod mbconv;
pub(crate) mod mobilevit;
pub(crate) mod poolformer;
pub(crate) mod resnetv2;
pub(crate) mod vit_hybrid;
